"""The use cases of logins."""

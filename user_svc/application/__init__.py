"""The use cases of accounts, patients and logins."""

"""The use cases of logins and of the sessions that they open."""

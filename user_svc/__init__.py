"""Accounts, logins, tokens and sessions."""

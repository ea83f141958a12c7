"""The RPCs of accounts, logins, sessions, patients and the audit trail."""

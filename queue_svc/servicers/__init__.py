"""Requests as commands and queries, and results as answers: no SQL, no rules."""

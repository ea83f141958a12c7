"""Measures logins and profiles under load: python -m bench.identity."""

"""The tables of accounts and sessions, and what reads and writes them."""

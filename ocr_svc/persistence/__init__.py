"""The tables of registrations and erasures, and what reads and writes them."""

"""The tables of facilities, and what reads and writes them."""

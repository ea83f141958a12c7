"""The tables of drafts, registrations and erasures, and what is written to and read from them."""

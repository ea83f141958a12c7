"""Encryption of stored fields and the keys behind it."""

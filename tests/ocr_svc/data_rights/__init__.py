"""Tests of the rights of persons: consent, copy and erasure of their data."""

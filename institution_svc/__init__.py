"""Facilities with their services and counters."""

"""Facilities as messages of the contracts."""

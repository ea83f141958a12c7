"""Drafts, registrations and erasures as messages of the contracts."""

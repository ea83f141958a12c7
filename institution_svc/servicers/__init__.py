"""The RPCs of the facility service."""

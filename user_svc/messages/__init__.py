"""Domain values as messages of the contracts."""

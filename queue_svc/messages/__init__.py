"""Domain values as messages of the contracts, and as events."""

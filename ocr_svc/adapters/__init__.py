"""The other services, as the domain sees them."""

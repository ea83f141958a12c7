"""The other services, one file each, as the domain sees them."""

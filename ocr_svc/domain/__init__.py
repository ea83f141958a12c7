"""What holds for registrations, consents and erasures, whatever keeps or serves them."""

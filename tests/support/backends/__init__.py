"""The servers and files behind tests: databases, and a broker."""

"""The use cases of facilities."""

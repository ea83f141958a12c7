"""The edge service: API documentation and system status."""

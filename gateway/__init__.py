"""The edge service: API documentation, system status and global rate limits."""

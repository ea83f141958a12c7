"""The use cases of registration and of data rights."""

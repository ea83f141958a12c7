"""The RPCs of registration and of data rights."""

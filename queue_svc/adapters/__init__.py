"""What the service reaches outside of itself: facts of facilities, documents in other formats."""

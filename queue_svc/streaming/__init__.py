"""Live streams of this process, and what feeds them."""

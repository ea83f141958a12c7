"""What the health of a mesh is."""

"""What the health of a mesh is, and what its limits let through."""

"""The kit that every service of the mesh is built with."""

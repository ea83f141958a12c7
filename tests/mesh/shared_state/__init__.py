"""Tests of mesh.shared_state."""

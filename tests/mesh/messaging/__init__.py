"""Tests of mesh.messaging."""

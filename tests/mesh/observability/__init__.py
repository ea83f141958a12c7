"""Tests of mesh.observability."""

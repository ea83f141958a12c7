"""Tests of mesh.encryption."""

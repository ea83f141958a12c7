"""Tests of mesh.identity."""

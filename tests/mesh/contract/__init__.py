"""Tests of mesh.contract."""

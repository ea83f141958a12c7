"""Tests of mesh.workflow."""

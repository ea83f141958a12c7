"""Tests of mesh.persistence."""

"""Tests of mesh.rpc."""

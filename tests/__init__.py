"""Tests of the mesh, mirroring the packages."""

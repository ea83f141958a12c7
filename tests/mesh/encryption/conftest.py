"""Fixtures of tests of mesh.encryption."""

from tests.mesh.encryption.reencryption import stored

__all__ = ["stored"]

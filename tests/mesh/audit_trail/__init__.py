"""Tests of mesh.audit_trail."""

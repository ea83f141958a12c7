"""Tests of the audit trail: what is in it, who reads it, that a change of it is found."""

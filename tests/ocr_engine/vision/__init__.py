"""Tests of what looks at pictures."""

"""Tests of the registration service."""

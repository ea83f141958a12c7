"""Tests of the account service."""

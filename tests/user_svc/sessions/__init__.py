"""Tests of sessions: renewed, listed, ended."""

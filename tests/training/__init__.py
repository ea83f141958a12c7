"""Tests of what draws cards and trains the reader."""

"""Tests of the service around the reader."""

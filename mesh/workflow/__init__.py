"""Durable workflows: rows whose steps survive the process that does them."""

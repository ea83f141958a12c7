"""Durable workflows: a registration up to its ticket, an erasure in all services."""

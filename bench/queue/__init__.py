"""Measures the queue under load: python -m bench.queue."""

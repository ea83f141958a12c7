"""Simulates order and waiting times of a clinic: python -m bench.queue_sim."""

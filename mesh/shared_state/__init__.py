"""Caches and counters, in the process or shared in Redis."""

"""Tickets: numbers, order, calls, live state and reports."""

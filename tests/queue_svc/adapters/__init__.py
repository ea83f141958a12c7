"""Tests of queue_svc.adapters."""

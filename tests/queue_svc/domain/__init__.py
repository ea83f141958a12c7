"""Tests of queue_svc.domain."""

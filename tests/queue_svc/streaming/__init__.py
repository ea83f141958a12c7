"""Tests of queue_svc.streaming."""

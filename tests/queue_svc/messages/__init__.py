"""Tests of queue_svc.messages."""

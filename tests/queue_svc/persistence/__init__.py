"""Tests of queue_svc.persistence."""

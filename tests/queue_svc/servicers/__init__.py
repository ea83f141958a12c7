"""Tests of queue_svc.servicers."""

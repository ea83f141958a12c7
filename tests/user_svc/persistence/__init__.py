"""Tests of user_svc.persistence."""

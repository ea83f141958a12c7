"""Tests of ocr_svc.persistence."""

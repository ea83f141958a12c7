"""Measures how cards are read: python -m bench.ocr."""

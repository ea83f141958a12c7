"""Tests of what holds whatever happens: many at once, chance, kills, a clock or broker failing."""

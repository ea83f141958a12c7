"""Tests of the kit: units, and the runtimes over real servers."""

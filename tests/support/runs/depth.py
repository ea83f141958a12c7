"""How often tests repeat themselves that find more the longer they run.

A test that does is marked `deep`: `make test-deep` runs those alone, with MEDIQ_TEST_DEPTH=10.
"""

import os

DEPTH = int(os.environ.get("MEDIQ_TEST_DEPTH", "1"))
"""Multiplies what a test repeats in make test: examples, rounds, photos."""

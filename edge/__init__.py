"""Envoy's configuration, derived from the contracts.

`render` is pure: settings in, the bootstrap document out. Nothing in envoy/ is written by hand.
"""

from edge.process import binary, command
from edge.render import committed, kubernetes, render, to_yaml, write
from edge.settings import Bucket, EdgeSettings, Rates

__all__ = [
    "Bucket",
    "EdgeSettings",
    "Rates",
    "binary",
    "command",
    "committed",
    "kubernetes",
    "render",
    "to_yaml",
    "write",
]

"""Envoy's configuration, derived from the contracts.

Rendering is pure: settings in, the bootstrap document out. Nothing in envoy/ is written by hand.
"""

from edge.bootstrap import render_bootstrap
from edge.envoy_process import envoy_binary, envoy_command
from edge.files import render_files, to_yaml, write_files
from edge.settings import Bucket, EdgeSettings, Rates, kubernetes_settings

__all__ = [
    "Bucket",
    "EdgeSettings",
    "Rates",
    "envoy_binary",
    "envoy_command",
    "kubernetes_settings",
    "render_bootstrap",
    "render_files",
    "to_yaml",
    "write_files",
]

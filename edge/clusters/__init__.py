"""Upstream clusters, and the certificates with which Envoy calls them."""

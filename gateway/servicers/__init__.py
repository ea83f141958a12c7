"""The RPCs of the gateway, and Envoy's rate limit service."""

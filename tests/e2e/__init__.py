"""The whole mesh as a person starts it: six services, the real model, real Envoy."""

"""What Envoy listens on: the API, the status port, their access log and local replies."""

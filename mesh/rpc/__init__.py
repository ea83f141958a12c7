"""The gRPC server and client of a service."""

"""The reader as a gRPC service: queue, worker, engine, metrics."""

"""Developer tools: generation from the contracts and their checks."""

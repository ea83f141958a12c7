"""Makes the generated files from contracts and code; `python -m tools.generate` writes them."""

"""How tests are run: in which order, how deeply, beside which load."""

"""HTTP filters: what each does by default, and its settings on a method's route."""

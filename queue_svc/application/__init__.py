"""Use cases: a command or a question in, a message out."""

"""Checks that code and documents use the glossary's words: `python -m tools.words`.

It prints each word that was given up, with its place and what is written instead, and each
docstring of a public thing that does not begin with a verb, and exits 1. The words and the verbs
are in `banned.toml` and `verbs.txt` beside this file; how a word comes and goes is in
CONTRIBUTING.md.
"""

"""The REST paths by the verbs they take: who comes with another one is told which there are."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from edge.rates import METADATA
from edge.typed import Config
from mesh.contract.methods import Method

ALLOW = "allow"
"""Key of a path's verbs, in its route's metadata."""
Paths = Mapping[str, set[str]]
"""Verbs by path."""


def rest_paths(methods: Iterable[Method]) -> tuple[Paths, Paths]:
    """The paths without variables, and those with some.

    Raises:
        ValueError: A variable may stand for more than one segment.
    """
    plain: dict[str, set[str]] = defaultdict(set)
    variable: dict[str, set[str]] = defaultdict(set)
    for method in methods:
        for rule in method.rules:
            if "=" in rule.path:
                raise ValueError(f"{method.path}: a variable of {rule.path} has a pattern")
            (variable if "{" in rule.path else plain)[rule.path].add(rule.verb)
    return plain, variable


def _pattern(path: str) -> str:
    return "/".join(
        "[^/]+" if part.startswith("{") else re.escape(part) for part in path.split("/")
    )


def any_of(paths: Iterable[str]) -> Config:
    """The match of a route for these paths."""
    return {"safe_regex": {"regex": "|".join(_pattern(path) for path in paths)}}


def wrong_verbs(paths: Paths) -> Iterator[tuple[str, Config]]:
    """The verbs that some paths take, and the match of a route for all others on them."""
    alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for path, verbs in paths.items():
        alike[tuple(sorted(verbs))].append(path)
    for taken, those in sorted(alike.items()):
        others = [
            {"name": ":method", "string_match": {"exact": verb}, "invert_match": True}
            for verb in taken
        ]
        yield ", ".join(taken), {**any_of(those), "headers": others}


def told(verbs: str) -> Config:
    """The metadata of a route whose callers are told these verbs."""
    return {"filter_metadata": {METADATA: {ALLOW: verbs}}}

"""REST paths by the verbs that they take: the answer to another verb names them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from edge.messages import Config
from edge.route_metadata import ALLOW, NAMESPACE
from mesh.contract.methods import Method

Paths = Mapping[str, set[str]]
"""Verbs by path."""


def rest_paths(methods: Iterable[Method]) -> tuple[Paths, Paths]:
    """Returns the paths without variables, and those with some.

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


def match_any(paths: Iterable[str]) -> Config:
    """Returns the match of a route for these paths."""
    return {"safe_regex": {"regex": "|".join(_pattern(path) for path in paths)}}


def method_not_allowed_matches(paths: Paths) -> Iterator[tuple[str, Config]]:
    """Yields the verbs that some paths take, and the match of a route for all other verbs there."""
    paths_by_verbs: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for path, verbs in paths.items():
        paths_by_verbs[tuple(sorted(verbs))].append(path)
    for verbs_taken, same_verb_paths in sorted(paths_by_verbs.items()):
        others = [
            {"name": ":method", "string_match": {"exact": verb}, "invert_match": True}
            for verb in verbs_taken
        ]
        yield ", ".join(verbs_taken), {**match_any(same_verb_paths), "headers": others}


def allow_metadata(verbs: str) -> Config:
    """Returns the metadata of a route that answers 405 with these verbs in Allow."""
    return {"filter_metadata": {NAMESPACE: {ALLOW: verbs}}}

"""Facilities, their services and counters: what they are and what may be said of them."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz import fuzz, process, utils

from mesh.errors import Kind, MeshError

DEFAULT_SERVICE_MINUTES = 10
MATCH_SCORE = 70.0
"""Lowest similarity, 0 to 100, that counts as a find: one wrong letter in a short word passes."""


@dataclass(frozen=True)
class Institution:
    """A health facility."""

    id: str
    name: str
    city: str
    address: str
    time_zone: str
    create_time: datetime.datetime
    update_time: datetime.datetime


@dataclass(frozen=True)
class HealthcareService:
    """A service of a facility that has a queue of its own."""

    id: str
    institution_id: str
    name: str
    prefix: str
    service_minutes: int


@dataclass(frozen=True)
class Counter:
    """A counter at which patients are served."""

    id: str
    institution_id: str
    name: str


@dataclass(frozen=True)
class Changes:
    """What an update changes; None leaves a field as it is."""

    name: str | None = None
    city: str | None = None
    address: str | None = None
    time_zone: str | None = None


def taken(what: str, field: str) -> MeshError:
    """The error for a name or prefix that the facility uses already."""
    return MeshError(
        f"the facility has a {what} with this {field}",
        Kind.ALREADY_EXISTS,
        f"{what.upper()}_{field.upper()}_TAKEN",
    )


def best_matches(words: str, institutions: Sequence[Institution], limit: int) -> list[Institution]:
    """Facilities whose name or city resembles the words, best first."""
    names = [f"{institution.name} {institution.city}" for institution in institutions]
    found = process.extract(
        words,
        names,
        scorer=fuzz.token_set_ratio if " " in words.strip() else fuzz.partial_ratio,
        processor=utils.default_process,
        score_cutoff=MATCH_SCORE,
        limit=limit,
    )
    return [institutions[index] for _, _, index in found]

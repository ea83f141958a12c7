"""The use cases that read facilities."""

from collections.abc import Sequence
from dataclasses import dataclass

from institution_svc.domain.facilities import (
    Counter,
    HealthcareService,
    Institution,
    best_matches,
)
from institution_svc.persistence.facility_repository import FacilityRepository

MAX_LISTED_COUNTERS = 500


@dataclass(frozen=True)
class FacilityFacts:
    """Holds what other services need to know of a facility."""

    institution: Institution
    counters: Sequence[Counter]
    service: HealthcareService | None
    """The service that was asked for; None when none was."""


def list_institutions(
    facilities: FacilityRepository, after: tuple[str, ...] | None, limit: int
) -> list[Institution]:
    """Returns open facilities by name, from the one after `after` (name, id)."""
    return facilities.page(after, limit)


def get_institution(facilities: FacilityRepository, institution_id: str) -> Institution:
    """Returns a facility that is open.

    Raises:
        MeshError: INSTITUTION_NOT_FOUND.
    """
    return facilities.get(institution_id)


def list_services(
    facilities: FacilityRepository, institution_id: str, after: tuple[str, ...] | None, limit: int
) -> list[HealthcareService]:
    """Returns services of an open facility by name, from the one after `after` (name).

    Raises:
        MeshError: INSTITUTION_NOT_FOUND.
    """
    return facilities.services(institution_id, after, limit)


def list_counters(
    facilities: FacilityRepository, institution_id: str, after: tuple[str, ...] | None, limit: int
) -> list[Counter]:
    """Returns counters of an open facility by name, from the one after `after` (name).

    Raises:
        MeshError: INSTITUTION_NOT_FOUND.
    """
    return facilities.counters(institution_id, after, limit)


def search_institutions(facilities: FacilityRepository, text: str, limit: int) -> list[Institution]:
    """Returns the facilities whose names and cities are most like a text."""
    return best_matches(text, facilities.all(), limit)


def facility_facts(
    facilities: FacilityRepository, institution_id: str, service_id: str
) -> FacilityFacts:
    """Returns a facility with its counters, and with one service when its id is not empty.

    Raises:
        MeshError: INSTITUTION_NOT_FOUND or SERVICE_NOT_FOUND.
    """
    return FacilityFacts(
        facilities.get(institution_id),
        facilities.counters(institution_id, None, MAX_LISTED_COUNTERS),
        facilities.service(institution_id, service_id) if service_id else None,
    )

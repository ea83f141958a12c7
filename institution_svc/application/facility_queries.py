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
    """What other services need to know of a facility."""

    institution: Institution
    counters: Sequence[Counter]
    service: HealthcareService | None
    """The service that was asked for; None when none was."""


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

"""What boards, streams and reports ask of a facility: its days, its name, its counters."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from mesh.clock import Clock
from queue_svc.adapters.facilities import Facilities, counter_of
from queue_svc.domain.days import active_days, parse_day, service_day
from queue_svc.domain.rules import Rules
from queue_svc.domain.tickets import Service

Days = Callable[[], tuple[str, ...]]
"""Gives the active days of a facility now, the older one first."""


@dataclass(frozen=True)
class Facility:
    """Describes a facility as boards and streams show it."""

    institution_id: str
    name: str
    time_zone: str
    days: Days


class FacilityDirectory:
    """Looks up facilities."""

    def __init__(self, facilities: Facilities, rules: Rules, clock: Clock) -> None:
        """Asks institution_svc, or what is cached of it.

        Args:
            facilities: Gives the facts of facilities.
            rules: What the rules depend on.
            clock: Gives the time.
        """
        self._facilities = facilities
        self._rules = rules
        self._clock = clock

    async def active_days(self, institution_id: str) -> tuple[str, ...]:
        """Returns the days whose tickets are called now, the older one first.

        Raises:
            MeshError: As `Facilities.facts`.
        """
        return (await self.facility(institution_id)).days()

    async def day_asked(self, institution_id: str, field: str, asked: str) -> str:
        """Returns the day that a report is asked for; today at the facility when none is named.

        Args:
            institution_id: The facility.
            field: Name of the field that holds the day.
            asked: The day, YYYY-MM-DD, or empty.

        Raises:
            MeshError: DAY_INVALID, or as `Facilities.facts`.
        """
        if asked:
            return parse_day(field, asked).isoformat()
        facts = await self._facilities.facts(institution_id)
        return service_day(self._clock(), facts.institution.time_zone)

    async def facility(self, institution_id: str) -> Facility:
        """Returns a facility as it says of itself.

        Raises:
            MeshError: As `Facilities.facts`.
        """
        institution = (await self._facilities.facts(institution_id)).institution
        days = partial(self._active, institution.time_zone)
        return Facility(institution.id, institution.name, institution.time_zone, days)

    def facility_of(self, service: Service) -> Facility:
        """Returns the facility of a service that is known, without asking it."""
        days = partial(self._active, service.time_zone)
        return Facility(service.institution_id, service.institution_name, service.time_zone, days)

    async def require_counter(self, institution_id: str, service_id: str, counter_id: str) -> None:
        """Refuses a counter that the facility does not have.

        Raises:
            MeshError: COUNTER_NOT_FOUND, or as `Facilities.facts`.
        """
        facts = await self._facilities.facts(institution_id, service_id, counter_id=counter_id)
        counter_of(facts, counter_id)

    def _active(self, time_zone: str) -> tuple[str, ...]:
        return active_days(self._clock(), time_zone, self._rules.carry_hours)

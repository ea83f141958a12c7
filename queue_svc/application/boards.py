"""The use case that shows a facility's board."""

from collections.abc import Sequence
from functools import partial

from mediq.queue.v1 import live_service_pb2 as requests

from mesh.clock import Clock
from mesh.shared_state.cache import Cache, get_or_load
from queue_svc.application.facility_directory import Facility, FacilityDirectory
from queue_svc.application.unit_of_work import UnitsOfWork
from queue_svc.messages.boards import board_message
from queue_svc.persistence.facility_queries import FacilityQueries


class Boards:
    """Reads boards."""

    def __init__(
        self,
        units: UnitsOfWork,
        directory: FacilityDirectory,
        cache: Cache,
        clock: Clock,
        cache_seconds: float,
    ) -> None:
        """Reads in units of work.

        Args:
            units: Opens the queues.
            directory: Gives the days of facilities.
            cache: Keeps boards.
            clock: Gives the time.
            cache_seconds: Longest use of a cached board, in seconds.
        """
        self._units = units
        self._directory = directory
        self._cache = cache
        self._clock = clock
        self._cache_seconds = cache_seconds

    async def get(self, institution_id: str) -> requests.Board:
        """Returns the board of a facility, which may be cached.

        Raises:
            MeshError: As `Facilities.facts`.
        """
        facility = await self._directory.facility(institution_id)
        days = facility.days()
        found = await get_or_load(
            self._cache,
            facility.institution_id,
            f"board/{'/'.join(days)}",
            self._cache_seconds,
            partial(self._load, facility, days),
        )
        return requests.Board.FromString(found)

    async def _load(self, facility: Facility, days: Sequence[str]) -> bytes:
        found = await self._units.read_facility(
            facility.institution_id, query_board, facility, days, self._clock
        )
        return found.SerializeToString()


def query_board(
    queries: FacilityQueries, facility: Facility, days: Sequence[str], clock: Clock
) -> requests.Board:
    """Reads the board of a facility."""
    services, _ = queries.board(facility.institution_id, days)
    return board_message(
        facility.institution_id, facility.name, facility.time_zone, services, clock()
    )

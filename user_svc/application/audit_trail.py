"""The use cases of the audit trail: it takes events, and answers what is asked of it."""

from collections.abc import Sequence

from mediq.audit.v1.audit_pb2 import AuditEntry, AuditEvent
from mediq.audit.v1.audit_service_pb2 import AuditHead
from sqlalchemy.orm import Session

from mesh.clock import Clock, timestamp
from mesh.errors import forbidden
from mesh.persistence.database import Database
from user_svc.audit import queries
from user_svc.audit.chain import AuditChain, read_head
from user_svc.domain.audit_trail import Filter, Touched, TouchedFilter, require_order


class AuditTrail:
    """Runs the use cases of the audit trail."""

    def __init__(self, database: Database, chain: AuditChain, clock: Clock) -> None:
        """Works on one database.

        Args:
            database: Holds the trail.
            chain: Appends to the trail, and opens its entries.
            clock: Gives the time.
        """
        self._database = database
        self._chain = chain
        self._clock = clock

    async def append(self, events: Sequence[AuditEvent]) -> int:
        """Takes events into the trail; returns how many were new.

        Raises:
            MeshError: See `AuditChain.append`.
        """
        return await self._database.write(
            lambda session: self._chain.append(session, events, self._clock())
        )

    async def append_of(self, service: str, events: Sequence[AuditEvent]) -> int:
        """Takes events that a service sends into the trail; returns how many were new.

        Raises:
            MeshError: OTHER_SERVICE, or see `AuditChain.append`.
        """
        if any(event.service != service for event in events):
            # A service that was taken over must not record what another one did.
            raise forbidden("events are those of the service that sends them", "OTHER_SERVICE")
        return await self.append(events)

    async def page(
        self, wanted: Filter, before: int | None, size: int
    ) -> tuple[list[AuditEntry], bool]:
        """Lists entries, newest first.

        Args:
            wanted: Which ones.
            before: Position that the page stays below; None for the first page.
            size: Most entries.

        Returns:
            The entries, and whether there are more.

        Raises:
            MeshError: TIME_RANGE_INVALID or AUDIT_ENTRY_DAMAGED.
        """
        require_order(wanted.start, wanted.end)
        return await self._database.read(
            lambda session: self._read_page(session, wanted, before, size)
        )

    async def touched_page(self, wanted: TouchedFilter, after: str, limit: int) -> list[Touched]:
        """Lists persons whose data were seen or changed; see `queries.touched`.

        Raises:
            MeshError: TIME_RANGE_INVALID.
        """
        require_order(wanted.start, wanted.end)
        return await self._database.read(
            lambda session: queries.touched(session, wanted, after, limit)
        )

    async def head(self) -> AuditHead:
        """Returns the end of the trail.

        Raises:
            MeshError: AUDIT_HEAD_LOST.
        """
        return await self._database.read(_read_head)

    def _read_page(
        self, session: Session, wanted: Filter, before: int | None, size: int
    ) -> tuple[list[AuditEntry], bool]:
        found = queries.entries(session, wanted, before, size + 1)
        return [self._chain.entry(row) for row in found[:size]], len(found) > size


def _read_head(session: Session) -> AuditHead:
    head = read_head(session)
    time = queries.record_time(session, head.position)
    return AuditHead(
        position=head.position,
        mac=head.mac,
        record_time=None if time is None else timestamp(time),
    )

"""The place of the audit trail in tests of services that only write to it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mediq.audit.v1.audit_pb2 import AuditAct, AuditEvent
from mediq.audit.v1.audit_service_pb2 import (
    AppendAuditEventsRequest,
    AppendAuditEventsResponse,
)

from mesh.contract.validation import validate
from mesh.rpc.pipeline import Context
from tests.support.mesh import partly
from tests.support.waiting import eventually

AUDIT_SERVICE = "mediq.audit.v1.AuditService"
ACCESS, CHANGE, REFUSED = (AuditAct.ValueType(number) for number in (1, 2, 3))


@dataclass
class Collector:
    """Stands in for user_svc: keeps what services send."""

    events: list[AuditEvent] = field(default_factory=list)
    down: bool = False

    async def AppendAuditEvents(
        self, request: AppendAuditEventsRequest, context: Context
    ) -> AppendAuditEventsResponse:
        await self.take(request.events)
        return AppendAuditEventsResponse(appended=len(request.events))

    async def take(self, events: Sequence[AuditEvent]) -> None:
        """Keeps events, in order.

        Raises:
            MeshError: An event is not what the contract takes.
        """
        if self.down:
            raise RuntimeError("down")
        for event in events:
            validate(event)
        self.events += events

    async def of(
        self, method: str, count: int = 1, where: Callable[[AuditEvent], bool] = lambda _: True
    ) -> list[AuditEvent]:
        """The events of a method, once there are `count` of them.

        Raises:
            AssertionError: They do not come.
        """

        def found() -> list[AuditEvent]:
            chosen = [one for one in self.events if one.method == method and where(one)]
            return chosen if len(chosen) >= count else []

        return await eventually(found)


def double(collector: Collector) -> tuple[Callable[..., None], object]:
    """What `Mesh.double` serves in the place of user_svc."""
    return partly(AUDIT_SERVICE), collector

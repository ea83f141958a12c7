"""Erasures that tests ask for, and what is left of a person."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from mediq.ocr.v1 import data_rights_service_pb2 as messages
from mediq.ocr.v1 import registration_service_pb2
from mediq.queue.v1.queue_pb2 import TicketStatus

from mesh.errors import unavailable
from tests.ocr_svc.conftest import Clinic, registered, rights_token
from tests.ocr_svc.doubles import Double
from tests.support.backends.databases import dump
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from mediq.ocr.v1.registration_service_pb2_grpc import RegistrationServiceAsyncStub
import copy
from collections.abc import Callable

RETAINED = messages.ERASURE_STATE_RETAINED
ERASED = messages.ERASURE_STATE_ERASED
CALLED = TicketStatus.TICKET_STATUS_CALLED
SERVING = TicketStatus.TICKET_STATUS_SERVING
WAITING = TicketStatus.TICKET_STATUS_WAITING
DONE = TicketStatus.TICKET_STATUS_DONE
NO_SHOW = TicketStatus.TICKET_STATUS_NO_SHOW
CANCELLED = TicketStatus.TICKET_STATUS_CANCELLED
SERVED = (CALLED, SERVING, DONE)
ABSENT = (CALLED, NO_SHOW)
KEPT = datetime.timedelta(days=9132)
DOWN = unavailable("down", "DOWN")


async def visited(
    clinic: Clinic,
    stub: RegistrationServiceAsyncStub,
    *statuses: TicketStatus.ValueType,
    ago: datetime.timedelta = datetime.timedelta(days=3),
) -> registration_service_pb2.Registration:
    """A registration whose ticket went through states some time ago."""
    done = await registered(clinic, stub)
    clinic.queue.close(done.ticket, *statuses, time=clinic.now() - ago)
    return done


async def erase(clinic: Clinic, user_id: str, request_id: str = "") -> messages.Erasure:
    return await clinic.rights.RequestErasure(
        messages.RequestErasureRequest(request_id=request_id or str(uuid4()), user_id=user_id),
        metadata=rights_token(clinic.mesh, user_id),
    )


async def becomes(
    clinic: Clinic, user_id: str, state: messages.ErasureState.ValueType
) -> messages.Erasure:
    """The erasure, once the background has brought it so far."""

    async def reached() -> messages.Erasure | None:
        found = await erase(clinic, user_id)
        return found if found.state == state else None

    return await eventually(reached)


async def in_database(url: str, state: str) -> None:
    """Waits until the background has brought the only erasure so far, without asking for it."""
    await eventually(lambda: [row["state"] for row in dump(url)["erasures"]] == [state])


def keys(double: Double, name: str) -> list[str]:
    """The keys that a method was called with."""
    return [
        one.request_id  # type: ignore[attr-defined]
        for one in double.seen
        if one.DESCRIPTOR.name == f"{name}Request"
    ]


KNOWN = ("accounts", "records", "kept", "tickets", "changes", "seen")
"""What a backup of a double holds, with the requests that it remembers."""


def backup(*doubles: Double) -> Callable[[], None]:
    """Copies what services know; the result puts it back."""
    taken = [
        {name: copy.deepcopy(vars(one)[name]) for name in KNOWN if name in vars(one)}
        for one in doubles
    ]

    def restore() -> None:
        for one, state in zip(doubles, taken, strict=True):
            vars(one).update(copy.deepcopy(state))

    return restore

"""The states of a registration, and waiting for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediq.ocr.v1 import registration_service_pb2 as messages

from tests.ocr_svc.conftest import Metadata
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from mediq.ocr.v1.registration_service_pb2_grpc import RegistrationServiceAsyncStub

COMPLETED = messages.REGISTRATION_STATE_COMPLETED
FAILED = messages.REGISTRATION_STATE_FAILED


async def state_becomes(
    stub: RegistrationServiceAsyncStub,
    draft_id: str,
    metadata: Metadata,
    state: messages.RegistrationState.ValueType,
) -> messages.Registration:
    """The registration, once it has come so far."""
    request = messages.GetRegistrationRequest(draft_id=draft_id)

    async def reached() -> messages.Registration | None:
        found = await stub.GetRegistration(request, metadata=metadata)
        return found if found.state == state else None

    return await eventually(reached)

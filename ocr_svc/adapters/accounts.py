"""Calls user_svc: patients' accounts, and sessions that open a draft or a person's tickets."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from mediq.policy.v1.policy_pb2 import Scope
from mediq.user.v1.auth_service_pb2 import IssueNarrowSessionRequest, NarrowSession
from mediq.user.v1.auth_service_pb2_grpc import AuthServiceStub
from mediq.user.v1.user_pb2 import PatientIdentity
from mediq.user.v1.user_service_pb2 import (
    EnsurePatientRequest,
    ErasePatientRequest,
    GetPatientRecordRequest,
    PatientRecord,
)
from mediq.user.v1.user_service_pb2_grpc import UserServiceStub

from mesh.clock import timestamp
from mesh.errors import MeshError, StatusCode
from ocr_svc.domain.registration import Identity

if TYPE_CHECKING:
    from mediq.user.v1.auth_service_pb2_grpc import AuthServiceAsyncStub
    from mediq.user.v1.user_service_pb2_grpc import UserServiceAsyncStub

    from mesh.rpc.client import Channels


class Accounts:
    """Finds, makes and erases accounts, and opens sessions."""

    def __init__(self, channels: Channels) -> None:
        """Calls through `channels`."""
        self._sessions: AuthServiceAsyncStub = AuthServiceStub(channels.to("user_svc"))
        self._users: UserServiceAsyncStub = UserServiceStub(channels.to("user_svc"))

    async def registration_session(self, draft_id: str) -> NarrowSession:
        """Opens a session for one draft."""
        return await self._session(Scope.SCOPE_REGISTRATION, draft_id)

    async def tickets_session(self, user_id: str) -> NarrowSession:
        """Opens a session for one patient's tickets."""
        return await self._session(Scope.SCOPE_TICKETS, user_id)

    async def _session(self, scope: Scope.ValueType, subject_id: str) -> NarrowSession:
        return await self._sessions.IssueNarrowSession(
            IssueNarrowSessionRequest(scope=scope, subject_id=subject_id)
        )

    async def ensure_patient(self, key: str, identity: Identity, institution_id: str) -> str:
        """Returns the patient's account, found or made.

        Args:
            key: The request_id: the registration.
            identity: Whom the card names.
            institution_id: Where the person registers: its staff may see the account.

        Raises:
            MeshError: NIK_NAME_MISMATCH and what else user_svc refuses.
        """
        answer = await self._users.EnsurePatient(
            EnsurePatientRequest(
                request_id=key,
                identity=PatientIdentity(**vars(identity)),
                institution_id=institution_id,
            )
        )
        return answer.user.id

    async def record(self, user_id: str) -> PatientRecord:
        """Returns all that user_svc knows of a patient.

        Raises:
            MeshError: USER_NOT_FOUND.
        """
        return await self._users.GetPatientRecord(GetPatientRecordRequest(id=user_id))

    async def erase(self, key: str, user_id: str, retain_time: datetime | None) -> None:
        """Closes the account and erases what is known of the patient.

        Args:
            key: The request_id: the erasure.
            user_id: The account. One that is not there is erased.
            retain_time: Until when it is kept, encrypted. None: it is erased at once.
        """
        request = ErasePatientRequest(request_id=key, id=user_id)
        if retain_time is not None:
            request.retain_time.CopyFrom(timestamp(retain_time))
        try:
            await self._users.ErasePatient(request)
        except MeshError as error:
            if error.kind is not StatusCode.NOT_FOUND:
                raise

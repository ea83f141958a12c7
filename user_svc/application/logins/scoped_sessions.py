"""The use cases of scoped sessions: short tokens that open one thing and are not renewed."""

import asyncio
import datetime
import uuid

from google.protobuf.timestamp_pb2 import Timestamp
from mediq.policy.v1.policy_pb2 import Scope
from mediq.user.v1.auth_service_pb2 import NarrowSession

from mesh.audit_trail.events import annotate
from mesh.clock import Clock
from mesh.contract.access_scope import AccessScope
from mesh.errors import invalid, not_found
from mesh.identity.tokens import TokenSigner
from user_svc.application.logins.patient_logins import PatientLogins
from user_svc.application.patients import get_patient
from user_svc.application.unit_of_work import UnitOfWork, UnitsOfWork
from user_svc.domain import sessions
from user_svc.domain.accounts import Role
from user_svc.persistence.logins.ended_sessions import good_from


def require_patient(unit: UnitOfWork, account_id: str) -> None:
    """Refuses what is not the open account of a patient.

    Raises:
        MeshError: USER_NOT_FOUND.
    """
    if unit.accounts.get(account_id).role is not Role.PASIEN:
        raise not_found("user", account_id)


class ScopedSessions:
    """Opens scoped sessions."""

    def __init__(
        self, units: UnitsOfWork, signer: TokenSigner, logins: PatientLogins, clock: Clock
    ) -> None:
        """Works in units of work.

        Args:
            units: Opens the accounts.
            signer: Signs tokens.
            logins: Checks NIK and name.
            clock: Gives the time.
        """
        self._units = units
        self._signer = signer
        self._logins = logins
        self._clock = clock

    async def sign_in(self, nik: str, name: str) -> NarrowSession:
        """Opens the session of a patient who knows NIK and name.

        Raises:
            MeshError: INVALID_CREDENTIALS or LOGIN_THROTTLED.
        """
        entered = await self._logins.sign_in(nik, name)
        return self._open(
            Scope.SCOPE_TICKETS, entered.account_id, sessions.LOGIN_SESSION, entered.session_id
        )

    async def issue(self, scope: Scope.ValueType, subject_id: str) -> NarrowSession:
        """Opens a session that a service asks for.

        Args:
            scope: What the session may do.
            subject_id: The draft or account that it opens.

        Raises:
            MeshError: SCOPE_NOT_ISSUED or USER_NOT_FOUND.
        """
        if scope == Scope.SCOPE_REGISTRATION:
            return self._open(scope, subject_id, sessions.REGISTRATION_SESSION)
        if scope != Scope.SCOPE_TICKETS:
            raise invalid("scope", "services do not issue this scope", "SCOPE_NOT_ISSUED")
        annotate(persons=[subject_id])
        await self._units.read(require_patient, subject_id)
        return self._open(scope, subject_id, sessions.TICKETS_SESSION)

    async def open_data_rights(self, patient_id: str, scope: AccessScope) -> NarrowSession:
        """Opens the session in which a patient uses their rights at the counter.

        Args:
            patient_id: The patient's account.
            scope: The patients who exist for the member of staff.

        Raises:
            MeshError: USER_NOT_FOUND.
        """
        patient = await self._units.read(get_patient, patient_id, scope)
        if patient.identity_time is not None:
            # A token that is signed too soon after a correction is refused with those before it.
            early = good_from(patient.identity_time) - self._clock()
            await asyncio.sleep(max(early.total_seconds(), 0.0))
        return self._open(Scope.SCOPE_DATA_RIGHTS, patient.id, sessions.DATA_RIGHTS_SESSION)

    def _open(
        self,
        scope: Scope.ValueType,
        subject: str,
        life: datetime.timedelta,
        session_id: str = "",
    ) -> NarrowSession:
        """Signs a session of its own identifier, so that it is itself in the audit trail.

        Who does something in it is what the session was issued for. So the call that opens it
        names it as a thing: the trail says who opened the session in which something was done.

        Args:
            scope: What the session may do.
            subject: The draft or account that it opens.
            life: How long it lives.
            session_id: Its identifier. Empty: a new one.
        """
        session_id = session_id or str(uuid.uuid4())
        annotate(objects=[session_id])
        token, ends = self._signer.sign(
            subject,
            lifetime_seconds=int(life.total_seconds()),
            session_id=session_id,
            scope=scope,
        )
        return NarrowSession(access_token=token, access_expire_time=Timestamp(seconds=int(ends)))

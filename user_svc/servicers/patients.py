"""The part of UserService for the rights of patients, and for staff who serve them."""

import asyncio
from collections.abc import Callable

from google.protobuf.empty_pb2 import Empty
from mediq.audit.v1.audit_pb2 import AuditAct
from mediq.policy.v1.policy_pb2 import Scope
from mediq.user.v1 import user_service_pb2 as messages
from mediq.user.v1.auth_service_pb2 import NarrowSession
from mediq.user.v1.user_pb2 import PatientIdentity, User
from mediq.user.v1.user_service_pb2_grpc import UserServiceServicer
from sqlalchemy.orm import Session

from mesh.audit_trail.recorder import AuditRecorder, call_event
from mesh.clock import utc_now
from mesh.contract.call import current_call, principal
from mesh.errors import MeshError
from mesh.idempotency import Idempotency
from mesh.identity.tokens import TokenSigner
from mesh.persistence.database import Database
from mesh.rpc.pipeline import Context
from user_svc.application.scoped_sessions import narrow_session
from user_svc.domain import accounts, patients
from user_svc.domain.accounts import Account
from user_svc.messages import calling_service, current_reach, user_message
from user_svc.persistence import session_queries
from user_svc.persistence.account_repository import Accounts
from user_svc.persistence.patient_repository import Patients


class PatientsServicer(UserServiceServicer):
    """Shows, corrects and erases patients."""

    _database: Database
    _accounts: Accounts
    _idempotency: Idempotency
    _patients: Patients
    _signer: TokenSigner
    _trail: AuditRecorder

    async def RevealNik(
        self, request: messages.RevealNikRequest, context: Context
    ) -> messages.RevealNikResponse:
        patient = await self._reachable(request.id)
        if not patient.nik:
            raise patients.nik_unknown()
        return messages.RevealNikResponse(nik=patient.nik)

    async def CorrectPatient(
        self, request: messages.CorrectPatientRequest, context: Context
    ) -> User:
        reach, account_id = current_reach(), request.id.lower()
        given = {field.name: value for field, value in request.ListFields()}
        asked = {name: given[name] for name in patients.CORRECTABLE if name in given}

        def correct(session: Session) -> User:
            # First: what is wrong with a request is nobody's business but those who may make it.
            account = self._patients.reachable(session, account_id, reach, lock=True)
            changes = patients.checked(asked, utc_now().date())
            return user_message(self._patients.correct(session, account, changes, utc_now()))

        return await self._with_nik(request, correct)

    async def OpenDataRights(
        self, request: messages.OpenDataRightsRequest, context: Context
    ) -> NarrowSession:
        patient = await self._reachable(request.id)
        if patient.identity_time is not None:
            # A token that is signed too soon after a correction is refused with those before it.
            early = session_queries.good_from(patient.identity_time) - utc_now()
            await asyncio.sleep(max(early.total_seconds(), 0.0))
        return narrow_session(
            self._signer, Scope.SCOPE_DATA_RIGHTS, patient.id, accounts.DATA_RIGHTS_SESSION
        )

    async def GetPatientRecord(
        self, request: messages.GetPatientRecordRequest, context: Context
    ) -> messages.PatientRecord:
        account, facilities = await self._database.read(
            lambda session: self._patients.record(session, request.id.lower())
        )
        return messages.PatientRecord(
            user=user_message(account),
            identity=PatientIdentity(
                **{name: getattr(account, name) for name in patients.CORRECTABLE}
            ),
            institution_ids=facilities,
        )

    async def ErasePatient(self, request: messages.ErasePatientRequest, context: Context) -> Empty:
        account_id, retained = request.id.lower(), request.HasField("retain_time")

        def erase(session: Session) -> Empty:
            if retained:
                self._patients.retire(session, account_id, utc_now())
            else:
                self._patients.erase(session, account_id, utc_now())
            self._forget_answers(session, account_id)
            return Empty()

        # One erasure closes first and erases later, under the same request_id: each is repeated by
        # itself.
        step = "retain" if retained else "erase"
        return await self._idempotency.once(f"{calling_service()}/{step}", request, Empty, erase)

    async def _reachable(self, account_id: str) -> Account:
        """The patient, if the caller may reach them.

        Raises:
            MeshError: USER_NOT_FOUND.
        """
        reach = current_reach()
        return await self._database.read(
            lambda session: self._patients.reachable(session, account_id.lower(), reach)
        )

    def _forget_answers(self, session: Session, account_id: str) -> None:
        """Deletes the kept answers that show this account."""
        forget = self._idempotency.forget_about
        for request in (messages.CreateUserRequest, messages.CorrectPatientRequest):
            forget(session, request, User, lambda user: user.id == account_id)
        forget(
            session,
            messages.EnsurePatientRequest,
            messages.EnsurePatientResponse,
            lambda ensured: ensured.user.id == account_id,
        )

    async def _with_nik(
        self,
        request: messages.CreateUserRequest | messages.CorrectPatientRequest,
        change: Callable[[Session], User],
    ) -> User:
        """Does once what gives an account a NIK; who is told that it is taken is in the trail."""
        try:
            return await self._idempotency.once(principal().subject, request, User, change)
        except MeshError as error:
            if error.reason == "NIK_TAKEN":
                await self._note_known(request, error.reason)
            raise

    async def _note_known(
        self, request: messages.CreateUserRequest | messages.CorrectPatientRequest, refusal: str
    ) -> None:
        """Writes down that somebody learned from a refusal that a patient with this NIK exists.

        Raises:
            MeshError: The database does not answer: then the refusal must not go out.
        """
        found = await self._database.read(
            lambda session: self._accounts.by_nik(session, request.nik)
        )
        call = current_call()
        if found is not None and call is not None:
            act = AuditAct.AUDIT_ACT_ACCESS
            # Without the request: it names somebody else, and says why about them.
            await self._trail.record(call_event(call, act, [], persons=[found.id], refusal=refusal))

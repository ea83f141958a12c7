"""Changes that give an account a NIK: who learns that it is taken is in the audit trail."""

import datetime
from collections.abc import Callable
from typing import TypeVar

from mediq.audit.v1.audit_pb2 import AuditAct
from mediq.user.v1.user_pb2 import User
from mediq.user.v1.user_service_pb2 import CorrectPatientRequest, CreateUserRequest

from mesh.audit_trail.events import call_event
from mesh.audit_trail.recorder import AuditRecorder
from mesh.contract.call import current_call
from mesh.errors import MeshError
from user_svc.application.unit_of_work import UnitOfWork, UnitsOfWork
from user_svc.domain.accounts import Account
from user_svc.messages.accounts import user_message

Command = TypeVar("Command")
Request = CreateUserRequest | CorrectPatientRequest


class NikChanges:
    """Executes commands that give an account a NIK."""

    def __init__(self, units: UnitsOfWork, recorder: AuditRecorder) -> None:
        """Works in units of work; `recorder` takes who learned of a patient."""
        self._units = units
        self._recorder = recorder

    async def execute(
        self,
        caller: str,
        request: Request,
        use_case: Callable[[UnitOfWork, Command, datetime.datetime], Account],
        command: Command,
    ) -> User:
        """Executes a command once a request; see `UnitsOfWork.change`.

        Raises:
            MeshError: NIK_TAKEN, REQUEST_ID_REUSED, or what the use case raises.
        """
        try:
            return await self._units.change(caller, request, use_case, command, user_message, User)
        except MeshError as error:
            if error.reason == "NIK_TAKEN":
                await self._record_disclosure(request, error.reason)
            raise

    async def _record_disclosure(self, request: Request, refusal: str) -> None:
        """Records that somebody learned from a refusal that a patient with this NIK exists.

        Raises:
            MeshError: The database does not answer: then the refusal must not go out.
        """
        found = await self._units.read(lambda unit: unit.accounts.find_by_nik(request.nik))
        call = current_call()
        if found is not None and call is not None:
            act = AuditAct.AUDIT_ACT_ACCESS
            # Without the request: it names somebody else, and says why about them.
            event = call_event(
                call, act, [], self._recorder.clock, persons=[found.id], refusal=refusal
            )
            await self._recorder.record(event)

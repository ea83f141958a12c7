"""The use cases of patients: registration, correction, and the rights of persons."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field

from google.protobuf.empty_pb2 import Empty
from mediq.user.v1 import user_service_pb2 as requests
from mediq.user.v1.user_pb2 import User

from mesh.clock import Clock
from mesh.contract.access_scope import AccessScope
from mesh.idempotency import Idempotency
from user_svc.application.nik_changes import NikChanges
from user_svc.application.unit_of_work import UnitOfWork, UnitsOfWork
from user_svc.domain import accounts, patients
from user_svc.domain.accounts import Account, Person
from user_svc.messages.accounts import user_message


@dataclass(frozen=True)
class EnsurePatient:
    """Asks for the account of the patient whom a card describes."""

    person: Person
    """As the card says it."""
    institution_id: str
    """Facility that the patient registers at; empty for none."""


@dataclass(frozen=True)
class CorrectPatient:
    """Asks for a correction of what is known of a patient."""

    account_id: str
    scope: AccessScope
    """The patients who exist for the caller."""
    changes: Mapping[str, str] = field(repr=False)
    """New values by field, of patients.CORRECTABLE."""


@dataclass(frozen=True)
class ErasePatient:
    """Asks for the erasure of a patient."""

    account_id: str
    retains: bool
    """Whether what is known must be kept for now: then the account is only closed."""

    @property
    def step(self) -> str:
        """Returns which step of the erasure this is, of which each is repeated by itself."""
        return "retain" if self.retains else "erase"


def ensure_patient(
    unit: UnitOfWork, command: EnsurePatient, now: datetime.datetime
) -> tuple[Account, bool]:
    """Finds or adds the account of a patient, and makes them a patient of the facility.

    Returns:
        The account, and whether it is new.

    Raises:
        MeshError: NIK_NAME_MISMATCH.
    """
    account, created = unit.accounts.ensure_patient(command.person, now)
    unit.patients.join(account.id, command.institution_id, now)
    return account, created


def get_patient(unit: UnitOfWork, account_id: str, scope: AccessScope) -> Account:
    """Returns a patient who exists for a member of staff.

    Raises:
        MeshError: USER_NOT_FOUND.
    """
    return unit.patients.get_in_scope(account_id, scope)


def get_patient_record(unit: UnitOfWork, account_id: str) -> tuple[Account, list[str]]:
    """Returns a patient, and the facilities in the order in which they registered there.

    Raises:
        MeshError: USER_NOT_FOUND.
    """
    return unit.patients.get_with_facilities(account_id)


def correct_patient(unit: UnitOfWork, command: CorrectPatient, now: datetime.datetime) -> Account:
    """Corrects what is known of a patient.

    Raises:
        MeshError: USER_NOT_FOUND, NIK_TAKEN, or what is wrong with a field.
    """
    # First: what is wrong with a request is nobody's business but those who may make it.
    account = unit.patients.get_in_scope(command.account_id, command.scope, lock=True)
    changes = patients.checked(command.changes, now.date())
    return unit.patients.correct(account, changes, now)


class Patients:
    """Runs the use cases of patients."""

    def __init__(
        self,
        units: UnitsOfWork,
        nik_changes: NikChanges,
        idempotency: Idempotency,
        clock: Clock,
    ) -> None:
        """Works in units of work.

        Args:
            units: Opens the patients.
            nik_changes: Executes what gives an account a NIK.
            idempotency: Holds answers that an erasure deletes.
            clock: Gives the time.
        """
        self._units = units
        self._nik_changes = nik_changes
        self._idempotency = idempotency
        self._clock = clock

    async def ensure(
        self, caller: str, request: requests.EnsurePatientRequest, command: EnsurePatient
    ) -> requests.EnsurePatientResponse:
        """Finds or adds the account of a patient, once a request.

        Raises:
            MeshError: NIK_INVALID, NAME_INVALID, NIK_NAME_MISMATCH or REQUEST_ID_REUSED.
        """
        person = accounts.patient_of_card(command.person, self._clock().date())
        return await self._units.change(
            caller,
            request,
            ensure_patient,
            EnsurePatient(person, command.institution_id),
            lambda found: requests.EnsurePatientResponse(
                user=user_message(found[0]), created=found[1]
            ),
            requests.EnsurePatientResponse,
        )

    async def reveal_nik(self, account_id: str, scope: AccessScope) -> str:
        """Returns the whole NIK of a patient.

        Raises:
            MeshError: USER_NOT_FOUND or NIK_UNKNOWN.
        """
        patient = await self._units.read(get_patient, account_id, scope)
        if not patient.nik:
            raise patients.nik_unknown()
        return patient.nik

    async def correct(
        self, caller: str, request: requests.CorrectPatientRequest, command: CorrectPatient
    ) -> User:
        """Corrects what is known of a patient, once a request.

        Raises:
            MeshError: See `correct_patient`; REQUEST_ID_REUSED.
        """
        return await self._nik_changes.execute(caller, request, correct_patient, command)

    async def record(self, account_id: str) -> tuple[Account, list[str]]:
        """Returns a patient, and the facilities in the order in which they registered there.

        Raises:
            MeshError: USER_NOT_FOUND.
        """
        return await self._units.read(get_patient_record, account_id)

    async def erase(
        self, caller: str, request: requests.ErasePatientRequest, command: ErasePatient
    ) -> Empty:
        """Erases a patient or, when the data must be retained, closes the account.

        One erasure closes first and erases later, under the same request_id.

        Raises:
            MeshError: USER_NOT_FOUND or REQUEST_ID_REUSED.
        """
        return await self._units.change(
            f"{caller}/{command.step}",
            request,
            self._erase_patient,
            command,
            lambda _: Empty(),
            Empty,
        )

    def _erase_patient(
        self, unit: UnitOfWork, command: ErasePatient, now: datetime.datetime
    ) -> None:
        if command.retains:
            unit.patients.retire(command.account_id, now)
        else:
            unit.patients.erase(command.account_id, now)
        self._forget_answers(unit, command.account_id)

    def _forget_answers(self, unit: UnitOfWork, account_id: str) -> None:
        """Deletes the kept answers that show this account."""
        forget = self._idempotency.forget_about
        for request in (requests.CreateUserRequest, requests.CorrectPatientRequest):
            forget(unit.session, request, User, lambda user: user.id == account_id)
        forget(
            unit.session,
            requests.EnsurePatientRequest,
            requests.EnsurePatientResponse,
            lambda ensured: ensured.user.id == account_id,
        )

"""The repository of patients: whose facility they are, corrections, and erasure."""

import contextlib
import datetime
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sqlalchemy import bindparam, delete, select

from mesh.contract.access_scope import AccessScope
from mesh.encryption.field_cipher import DecryptionError
from mesh.errors import not_found
from user_svc.domain import accounts, patients
from user_svc.domain.accounts import Account, Role
from user_svc.persistence.account_repository import AccountRepository
from user_svc.persistence.logins import attempt_counters
from user_svc.persistence.models import PERSONAL_COLUMNS, Base, PatientInstitutionRow, UserRow

# The table, not the model, and made once: a third less work for a query.
_USERS = Base.metadata.tables[UserRow.__tablename__]
_NAMES = select(_USERS.c.nik_index, _USERS.c.id, _USERS.c.nama).where(
    _USERS.c.nik_index.in_(bindparam("indexes", expanding=True))
)


@dataclass(frozen=True)
class EncryptedName:
    """Holds whom a NIK belongs to."""

    account_id: str
    ciphertext: bytes = field(repr=False)


class PatientRepository(AccountRepository):
    """Reads and writes accounts of patients in one unit of work. Staff are not found."""

    def find_names(self, nik_indexes: Collection[str]) -> Mapping[str, EncryptedName]:
        """Finds the names of open accounts by the blind indexes of their NIKs."""
        found = self._session.execute(_NAMES, {"indexes": list(set(nik_indexes))}).all()
        return {row.nik_index: EncryptedName(row.id, row.nama) for row in found}

    def join(self, user_id: str, institution_id: str, now: datetime.datetime) -> None:
        """Makes an account a patient of a facility, if one is named and it is none yet.

        The unit of work has made the account or holds its lock: so it is not erased at this moment,
        and of two registrations one writes.
        """
        key = {"user_id": user_id, "institution_id": institution_id}
        if institution_id and self._session.get(PatientInstitutionRow, key) is None:
            self._session.add(PatientInstitutionRow(**key, first_time=now))

    def get_in_scope(self, account_id: str, scope: AccessScope, *, lock: bool = False) -> Account:
        """Returns a patient who exists for a member of staff: one who registered at the facility.

        Raises:
            MeshError: USER_NOT_FOUND.
        """
        account = self._account(self._open_patient(account_id, lock=lock))
        key = {"user_id": account_id, "institution_id": scope.institution_id}
        if not scope.is_unlimited and self._session.get(PatientInstitutionRow, key) is None:
            raise not_found("user", account_id)
        return account

    def get_with_facilities(self, account_id: str) -> tuple[Account, list[str]]:
        """Returns a patient, and the facilities in the order in which they registered there.

        Raises:
            MeshError: USER_NOT_FOUND.
        """
        account = self._account(self._open_patient(account_id))
        facilities = self._session.scalars(
            select(PatientInstitutionRow.institution_id)
            .where(PatientInstitutionRow.user_id == account_id)
            .order_by(PatientInstitutionRow.first_time, PatientInstitutionRow.institution_id)
        )
        return account, list(facilities)

    def correct(
        self, account: Account, changes: Mapping[str, str], now: datetime.datetime
    ) -> Account:
        """Corrects an account that the unit of work has locked.

        Scoped sessions end when NIK or name change: they were opened for who proved the old ones.

        Args:
            account: The account as it is.
            changes: New values by field, of patients.CORRECTABLE.
            now: The time.

        Raises:
            MeshError: ALREADY_EXISTS with reason NIK_TAKEN.
        """
        new = {name: value for name, value in changes.items() if value != getattr(account, name)}
        if not new:
            return account
        row = self._open(account.id)
        if "nik" in new:
            index = self._cipher.nik_index(new["nik"])
            if self._find(nik_index=index) is not None:
                raise accounts.taken("nik")
            row.nik_index = index
        for name, value in new.items():
            self._encrypt(row, name, value)
        row.update_time = now
        if patients.is_other_identity(account, new):
            row.identity_time = now
        self._session.flush()
        return self._account(row)

    def retire(self, account_id: str, now: datetime.datetime) -> None:
        """Closes a patient's account, if it is open. What is known stays, encrypted.

        Raises:
            MeshError: USER_NOT_FOUND.
        """
        self._end(self._any_patient(account_id), now)

    def erase(self, account_id: str, now: datetime.datetime) -> None:
        """Closes a patient's account and erases what is known. The identifier and times stay.

        Raises:
            MeshError: USER_NOT_FOUND.
        """
        row = self._any_patient(account_id)
        if row.erase_time is not None:
            return
        # A NIK that does not decrypt any more must not keep the person from being erased: its
        # failed logins then go with the hourly cleaning.
        with contextlib.suppress(DecryptionError):
            nik = self._cipher.decrypt(row.id, "nik", row.nik)
            attempt_counters.clear(self._session, self._cipher.nik_index(nik))
        self._end(row, now)
        for name in PERSONAL_COLUMNS:
            setattr(row, name, None)
        row.erase_time = row.update_time = now
        self._session.execute(
            delete(PatientInstitutionRow).where(PatientInstitutionRow.user_id == account_id)
        )

    def _open_patient(self, account_id: str, *, lock: bool = False) -> UserRow:
        row = self._open(account_id, lock=lock)
        if row.role != Role.PASIEN:
            raise not_found("user", account_id)
        return row

    def _any_patient(self, account_id: str) -> UserRow:
        """Returns the row of a patient's account, open or not, locked."""
        row = self._session.get(UserRow, account_id, with_for_update=True)
        if row is None or row.role != Role.PASIEN:
            raise not_found("user", account_id)
        return row

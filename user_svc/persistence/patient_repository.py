"""The repository of patients: whose facility they are, corrections, and erasure."""

import contextlib
import datetime
from collections.abc import Mapping

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from mesh.encryption.field_cipher import DecryptionError
from mesh.errors import not_found
from user_svc.domain import accounts, patients
from user_svc.domain.accounts import Account, Role
from user_svc.domain.patients import Reach
from user_svc.persistence import login_throttle
from user_svc.persistence.account_repository import Accounts
from user_svc.persistence.models import PERSONAL_COLUMNS, PatientInstitutionRow, UserRow


class Patients(Accounts):
    """Accounts of patients, as staff and the rights of persons see them. Staff are not found."""

    def join(
        self, session: Session, user_id: str, institution_id: str, now: datetime.datetime
    ) -> None:
        """Makes an account a patient of a facility, if one is named and it is none yet.

        The unit of work has made the account or holds its lock: so it is not erased at this moment,
        and of two registrations one writes.
        """
        key = {"user_id": user_id, "institution_id": institution_id}
        if institution_id and session.get(PatientInstitutionRow, key) is None:
            session.add(PatientInstitutionRow(**key, first_time=now))

    def reachable(
        self, session: Session, account_id: str, reach: Reach, *, lock: bool = False
    ) -> Account:
        """A patient whom a member of staff may reach.

        Raises:
            MeshError: USER_NOT_FOUND.
        """
        account = self._account(self._open_patient(session, account_id, lock=lock))
        key = {"user_id": account_id, "institution_id": reach.institution_id}
        if not reach.everywhere and session.get(PatientInstitutionRow, key) is None:
            raise not_found("user", account_id)
        return account

    def record(self, session: Session, account_id: str) -> tuple[Account, list[str]]:
        """A patient, and the facilities in the order in which they registered there.

        Raises:
            MeshError: USER_NOT_FOUND.
        """
        account = self._account(self._open_patient(session, account_id))
        facilities = session.scalars(
            select(PatientInstitutionRow.institution_id)
            .where(PatientInstitutionRow.user_id == account_id)
            .order_by(PatientInstitutionRow.first_time, PatientInstitutionRow.institution_id)
        )
        return account, list(facilities)

    def correct(
        self,
        session: Session,
        account: Account,
        changes: Mapping[str, str],
        now: datetime.datetime,
    ) -> Account:
        """Corrects an account that the unit of work has locked.

        Narrow sessions end when NIK or name change: they were opened for who proved the old ones.

        Args:
            session: The unit of work.
            account: The account as it is.
            changes: New values by field, of patients.CORRECTABLE.
            now: The time.

        Raises:
            MeshError: ALREADY_EXISTS with reason NIK_TAKEN.
        """
        new = {name: value for name, value in changes.items() if value != getattr(account, name)}
        if not new:
            return account
        row = self._open(session, account.id)
        if "nik" in new:
            index = self.nik_index(new["nik"])
            if self._find(session, nik_index=index) is not None:
                raise accounts.taken("nik")
            row.nik_index = index
        for name, value in new.items():
            self._seal(row, name, value)
        row.update_time = now
        if patients.is_other_identity(account, new):
            row.identity_time = now
        session.flush()
        return self._account(row)

    def retire(self, session: Session, account_id: str, now: datetime.datetime) -> None:
        """Closes a patient's account, if it is open. What is known stays, sealed.

        Raises:
            MeshError: USER_NOT_FOUND.
        """
        self._end(self._any_patient(session, account_id), now)

    def erase(self, session: Session, account_id: str, now: datetime.datetime) -> None:
        """Closes a patient's account and erases what is known. The identifier and times stay.

        Raises:
            MeshError: USER_NOT_FOUND.
        """
        row = self._any_patient(session, account_id)
        if row.erase_time is not None:
            return
        # A NIK that does not decrypt any more must not keep the person from being erased: its
        # failed logins then go with the hourly cleaning.
        with contextlib.suppress(DecryptionError):
            login_throttle.clear(session, self.nik_index(self.unseal(row.id, "nik", row.nik)))
        self._end(row, now)
        for name in PERSONAL_COLUMNS:
            setattr(row, name, None)
        row.erase_time = row.update_time = now
        session.execute(
            delete(PatientInstitutionRow).where(PatientInstitutionRow.user_id == account_id)
        )

    def _open_patient(self, session: Session, account_id: str, *, lock: bool = False) -> UserRow:
        row = self._open(session, account_id, lock=lock)
        if row.role != Role.PASIEN:
            raise not_found("user", account_id)
        return row

    def _any_patient(self, session: Session, account_id: str) -> UserRow:
        """The row of a patient's account, open or not, locked."""
        row = session.get(UserRow, account_id, with_for_update=True)
        if row is None or row.role != Role.PASIEN:
            raise not_found("user", account_id)
        return row

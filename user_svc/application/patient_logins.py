"""Logins of patients: those that come at one moment are one transaction."""

import hmac
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from mesh.audit_trail.recorder import AuditRecorder
from mesh.clock import utc_now
from mesh.contract.call import Call, current_call
from mesh.errors import MeshError, StatusCode
from mesh.persistence.database import Database
from user_svc.application.login_audit_events import nobody_entered, patient_entered
from user_svc.domain import accounts
from user_svc.persistence.account_repository import Accounts, write_with_retry
from user_svc.persistence.crowd_batcher import LINGER_SECONDS, CrowdBatcher
from user_svc.persistence.login_throttle import AttemptCounters
from user_svc.persistence.models import Base, UserRow

BATCH = 64
"""Most logins of one transaction."""
_LANE = "logins"
_NOBODY = "-"
"""Compared with the given name when no account has the NIK, so that both cases do the same work."""
_USERS = Base.metadata.tables[UserRow.__tablename__]
_NAMES = select(_USERS.c.nik_index, _USERS.c.id, _USERS.c.nama).where(
    _USERS.c.nik_index.in_(bindparam("indexes", expanding=True))
)


@dataclass(frozen=True)
class Entered:
    """A login that was right."""

    account_id: str
    session_id: str
    """The session that it opens; the audit trail has it already."""


Outcome = Entered | Exception
"""What a try opened, or why it failed."""


@dataclass(frozen=True)
class Try:
    """What somebody signs in with."""

    nik: str = field(repr=False)
    name: str = field(repr=False)
    call: Call | None = field(default_factory=current_call)
    """The call that tries, for the audit trail."""
    session_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    """The session that a success opens."""


@dataclass(frozen=True)
class _Known:
    """The account that has a NIK."""

    account_id: str
    sealed_name: bytes = field(repr=False)


class PatientLogins:
    """Checks NIK and name. A failed try is counted before its answer, a success clears all."""

    def __init__(self, database: Database, trail: AuditRecorder, accounts: Accounts) -> None:
        """Looks into `database`, and writes down who tried; `accounts` unseals."""
        self._database = database
        self._trail = trail
        self._accounts = accounts
        self._tries = CrowdBatcher(self._judge_all, BATCH, LINGER_SECONDS)

    async def sign_in(self, nik: str, name: str) -> Entered:
        """The account of the patient with this NIK and name, in a session of its own.

        Raises:
            MeshError: UNAUTHENTICATED with reason INVALID_CREDENTIALS, RESOURCE_EXHAUSTED with
                reason LOGIN_THROTTLED, or UNAVAILABLE with reason DATABASE_UNAVAILABLE.
        """
        return await self._tries.submit(_LANE, Try(nik, name))

    async def _judge_all(self, tries: Sequence[Try]) -> Sequence[Outcome]:
        """Does a batch in one transaction; each try alone when nobody foresaw why that fails."""
        try:
            return await write_with_retry(
                self._database, lambda session: self._once(session, tries)
            )
        except MeshError as error:
            return [error] * len(tries)
        except Exception as error:
            if len(tries) == 1:
                return [error]
        return [outcome for one in tries for outcome in await self._judge_all([one])]

    def _once(self, session: Session, tries: Sequence[Try]) -> list[Outcome]:
        indexes = [self._accounts.nik_index(one.nik) for one in tries]
        counters = AttemptCounters(session, indexes)
        known = self._known(session, indexes)
        outcomes = [
            self._judge(counters, index, one, known)
            for index, one in zip(indexes, tries, strict=True)
        ]
        counters.write()
        self._note(session, tries, outcomes, [known.get(index) for index in indexes])
        return outcomes

    def _note(
        self,
        session: Session,
        tries: Sequence[Try],
        outcomes: Sequence[Outcome],
        known: Sequence[_Known | None],
    ) -> None:
        """Writes down who signed in and who was refused; a try that had to wait was none."""
        events = []
        for one, outcome, found in zip(tries, outcomes, known, strict=True):
            if one.call is None:
                continue
            if isinstance(outcome, Entered):
                events.append(patient_entered(one.call, outcome.account_id, outcome.session_id))
            elif isinstance(outcome, MeshError) and outcome.kind is StatusCode.UNAUTHENTICATED:
                persons = [] if found is None else [found.account_id]
                events.append(nobody_entered(one.call, outcome.reason, persons))
        self._trail.record_in(session, events)

    def _known(self, session: Session, indexes: Sequence[str]) -> Mapping[str, _Known]:
        """The accounts by blind index. A closed one has none."""
        found = session.execute(_NAMES, {"indexes": list(set(indexes))}).all()
        return {row.nik_index: _Known(row.id, row.nama) for row in found}

    def _judge(
        self, counters: AttemptCounters, index: str, one: Try, known: Mapping[str, _Known]
    ) -> Outcome:
        """Judges one try after those before it. Its error is not that of the others."""
        found = known.get(index)
        try:
            name = (
                _NOBODY
                if found is None
                else self._accounts.unseal(found.account_id, "nama", found.sealed_name)
            )
            counters.charge(index, utc_now())
        except Exception as error:
            return error
        right = hmac.compare_digest(
            accounts.fold_name(name).encode(), accounts.fold_name(one.name).encode()
        )
        if found is None or not right:
            return accounts.invalid_credentials()
        counters.clear(index)
        return Entered(found.account_id, one.session_id)

"""Logins of patients: those that come at one moment are one transaction."""

import datetime
import hmac
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from mesh.audit_trail.recorder import AuditRecorder
from mesh.contract.call import Call, current_call
from mesh.errors import MeshError, StatusCode
from user_svc.application.logins.audit_events import patient_login_event, refused_login_event
from user_svc.application.unit_of_work import UnitOfWork, UnitsOfWork
from user_svc.domain import accounts
from user_svc.domain.identity import fold_name
from user_svc.persistence.account_cipher import AccountCipher
from user_svc.persistence.burst_batcher import LINGER_SECONDS, BurstBatcher
from user_svc.persistence.logins.attempt_counters import AttemptCounters
from user_svc.persistence.patient_repository import EncryptedName

BATCH = 64
"""Most logins of one transaction."""
_KEY = "logins"
_NOBODY = "-"
"""Compared with the given name when no account has the NIK, so that both cases do the same work."""


@dataclass(frozen=True)
class Entered:
    """Names who signed in."""

    account_id: str
    session_id: str
    """The session that it opens; the audit trail has it already."""


Outcome = Entered | Exception
"""What a try opened, or why it failed."""


@dataclass(frozen=True)
class Try:
    """Holds what somebody signs in with."""

    nik: str = field(repr=False)
    name: str = field(repr=False)
    call: Call | None = field(default_factory=current_call)
    """The call that tries, for the audit trail."""
    session_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    """The session that a success opens."""


class PatientLogins:
    """Checks NIK and name. A failed try is counted before its answer, a success clears all."""

    def __init__(self, units: UnitsOfWork, cipher: AccountCipher, recorder: AuditRecorder) -> None:
        """Works in units of work.

        Args:
            units: Opens the accounts.
            cipher: Decrypts names.
            recorder: Where logins are recorded for the audit trail.
        """
        self._units = units
        self._cipher = cipher
        self._recorder = recorder
        self._tries = BurstBatcher(self._judge_batch, BATCH, LINGER_SECONDS)

    async def sign_in(self, nik: str, name: str) -> Entered:
        """Returns the account of the patient with this NIK and name, in a session of its own.

        Raises:
            MeshError: UNAUTHENTICATED with reason INVALID_CREDENTIALS, RESOURCE_EXHAUSTED with
                reason LOGIN_THROTTLED, or UNAVAILABLE with reason DATABASE_UNAVAILABLE.
        """
        return await self._tries.submit(_KEY, Try(nik, name))

    async def _judge_batch(self, tries: Sequence[Try]) -> Sequence[Outcome]:
        """Does a batch in one transaction; each try alone when nobody foresaw why that fails."""
        try:
            return await self._units.execute(self._login_users, tries)
        except MeshError as error:
            return [error] * len(tries)
        except Exception as error:
            if len(tries) == 1:
                return [error]
        return [outcome for one in tries for outcome in await self._judge_batch([one])]

    def _login_users(
        self, unit: UnitOfWork, tries: Sequence[Try], now: datetime.datetime
    ) -> list[Outcome]:
        indexes = [self._cipher.nik_index(one.nik) for one in tries]
        counters = AttemptCounters(unit.session, indexes)
        known = unit.patients.find_names(indexes)
        outcomes = [
            self._judge(counters, index, one, known.get(index), now)
            for index, one in zip(indexes, tries, strict=True)
        ]
        counters.write()
        self._record(unit, tries, outcomes, [known.get(index) for index in indexes])
        return outcomes

    def _record(
        self,
        unit: UnitOfWork,
        tries: Sequence[Try],
        outcomes: Sequence[Outcome],
        known: Sequence[EncryptedName | None],
    ) -> None:
        """Records who signed in and who was refused; a try that had to wait was none."""
        events, clock = [], self._recorder.clock
        for one, outcome, found in zip(tries, outcomes, known, strict=True):
            if one.call is None:
                continue
            if isinstance(outcome, Entered):
                events.append(
                    patient_login_event(one.call, outcome.account_id, outcome.session_id, clock)
                )
            elif isinstance(outcome, MeshError) and outcome.kind is StatusCode.UNAUTHENTICATED:
                persons = [] if found is None else [found.account_id]
                events.append(refused_login_event(one.call, outcome.reason, clock, persons))
        self._recorder.record_in(unit.session, events)

    def _judge(
        self,
        counters: AttemptCounters,
        index: str,
        one: Try,
        found: EncryptedName | None,
        now: datetime.datetime,
    ) -> Outcome:
        """Judges one try after those before it. Its error is not that of the others."""
        try:
            name = (
                _NOBODY
                if found is None
                else self._cipher.decrypt(found.account_id, "nama", found.ciphertext)
            )
            counters.charge(index, now)
        except Exception as error:
            return error
        right = hmac.compare_digest(fold_name(name).encode(), fold_name(one.name).encode())
        if found is None or not right:
            return accounts.invalid_credentials()
        counters.clear(index)
        return Entered(found.account_id, one.session_id)

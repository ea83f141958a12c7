"""Erasures, read and written in one unit of work."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from mesh.encryption.field_cipher import DecryptionError, FieldCipher
from mesh.workflow.leases import LeaseRepository, changes_a_row
from ocr_svc.domain.erasure import UNFINISHED, Erasure, State
from ocr_svc.persistence.models import ErasureRow


def account_associated_data(erasure_id: str) -> str:
    """Returns what an account is bound to, so that it cannot be moved to another erasure."""
    return f"erasures/{erasure_id}/account"


REPLAYED = {
    State.RETAINED: State.ACCEPTED,
    State.ACCOUNT_ERASED: State.DUE,
    State.ERASED: State.DUE,
}
"""States in which something is done, and where each begins again."""


@dataclass(frozen=True)
class Replayed:
    """Says which erasures begin again."""

    persons: Sequence[str]
    """Their accounts."""
    lost: Sequence[str]
    """Identifiers of erasures whose account is not known any more."""
    last: str | None
    """Where the next page goes on. None: there is none."""


class ErasureRepository(LeaseRepository[ErasureRow, Erasure]):
    """Reads and writes erasures in one unit of work."""

    def __init__(self, session: Session, cipher: FieldCipher) -> None:
        """Works in `session`; fingerprints and encrypts with `cipher`."""
        super().__init__(session, ErasureRow, UNFINISHED)
        self._cipher = cipher

    def _item(self, row: ErasureRow) -> Erasure:
        return Erasure(
            id=row.id,
            user_id=row.user_id,
            create_time=row.create_time,
            retain_time=row.retain_time,
            state=State(row.state),
            attempts=row.attempts,
            lease_until=row.lease_until,
            round=row.round,
        )

    def _person(self, user_id: str) -> str:
        return self._cipher.blind_index(user_id, "erasures/person")

    def of_patient(self, user_id: str) -> Erasure | None:
        """Returns the erasure of a person; None when there is none."""
        query = select(ErasureRow).where(ErasureRow.person == self._person(user_id))
        row = self._session.scalars(query).one_or_none()
        return None if row is None else self._item(row)

    def add(self, erasure: Erasure, first_attempt_time: datetime.datetime) -> None:
        """Accepts an erasure.

        Args:
            erasure: The new erasure.
            first_attempt_time: When another process may begin, if the accepting one does not.

        Raises:
            IntegrityError: The person has one.
        """
        self._session.add(
            ErasureRow(
                id=erasure.id,
                person=self._person(erasure.user_id),
                user_id=erasure.user_id,
                create_time=erasure.create_time,
                retain_time=erasure.retain_time,
                round=erasure.round,
                state=erasure.state,
                attempts=0,
                next_attempt_time=first_attempt_time,
                lease_owner="",
                update_time=erasure.create_time,
            )
        )
        self._session.flush()

    def begin_again(self, erasure: Erasure, first_attempt_time: datetime.datetime) -> bool:
        """Accepts an erasure again that was done.

        Args:
            erasure: As it is from now on, in the round after the one that was done.
            first_attempt_time: When another process may begin, if the accepting one does not.

        Returns:
            False when another unit of work was faster, or it is not done.
        """
        again = (
            update(ErasureRow)
            .where(
                ErasureRow.id == erasure.id,
                ErasureRow.round == erasure.round - 1,
                ErasureRow.state.in_((State.RETAINED, State.ERASED)),
            )
            .values(
                user_id=erasure.user_id,
                account=None,
                create_time=erasure.create_time,
                retain_time=erasure.retain_time,
                round=erasure.round,
                state=erasure.state,
                attempts=0,
                next_attempt_time=first_attempt_time,
                update_time=erasure.create_time,
            )
        )
        return changes_a_row(self._session, again)

    def replay(
        self,
        since: datetime.datetime,
        after: str,
        limit: int,
        now: datetime.datetime,
    ) -> Replayed:
        """Begins those again of which a step was done at or after a moment, by identifier.

        What was promised holds: data that the law wanted to be kept are kept until the same time.

        Args:
            since: The moment.
            after: The identifier after which the page begins; empty for the first page.
            limit: Most erasures.
            now: The time.
        """
        page = self._session.scalars(
            select(ErasureRow)
            .where(
                ErasureRow.state.in_(REPLAYED),
                ErasureRow.update_time >= since,
                ErasureRow.id > after,
            )
            .order_by(ErasureRow.id)
            .limit(limit)
            .with_for_update()
        ).all()
        persons, lost = [], []
        for row in page:
            try:
                row.user_id = row.user_id or self._account(row)
            except DecryptionError:
                lost.append(row.id)
                continue
            persons.append(row.user_id)
            row.account = None
            row.state = REPLAYED[State(row.state)]
            row.round += 1
            row.attempts = 0
            # Who does a step at this moment writes nothing: it may be the one that was undone.
            row.lease_owner, row.lease_until = "", None
            row.next_attempt_time = row.update_time = now
        return Replayed(persons, lost, page[-1].id if len(page) == limit else None)

    def _account(self, row: ErasureRow) -> str:
        """Returns the account of an erasure that is finished.

        Raises:
            DecryptionError: It was not kept, is damaged, or its key is unknown.
        """
        if row.account is None:
            raise DecryptionError("not kept")
        return self._cipher.decrypt(row.account, account_associated_data(row.id)).decode()

    def wake_retained(self, now: datetime.datetime) -> None:
        """Makes those due whose time of keeping is over."""
        self._session.execute(
            update(ErasureRow)
            .where(ErasureRow.state == State.RETAINED, ErasureRow.retain_time <= now)
            .values(state=State.DUE, next_attempt_time=now, update_time=now)
        )

    def set_retained(self, erasure_id: str, owner: str, now: datetime.datetime) -> None:
        """Writes that the account is closed and its data are kept, and ends the lease."""
        self._session.execute(
            self._owned(erasure_id, owner, now).values(
                state=State.RETAINED, attempts=0, lease_owner="", lease_until=None
            )
        )

    def set_account_erased(self, erasure_id: str, owner: str, now: datetime.datetime) -> None:
        """Writes that user_svc knows nothing of the person any more."""
        self._session.execute(
            self._owned(erasure_id, owner, now).values(state=State.ACCOUNT_ERASED, attempts=0)
        )

    def complete(self, erasure_id: str, owner: str, user_id: str, now: datetime.datetime) -> bool:
        """Takes the person out of the erasure itself, which keeps the account encrypted.

        Returns:
            False when another process has the lease: nothing happens.
        """
        account = self._cipher.encrypt(user_id.encode(), account_associated_data(erasure_id))
        return changes_a_row(
            self._session,
            self._owned(erasure_id, owner, now).values(
                state=State.ERASED, user_id="", account=account, lease_owner="", lease_until=None
            ),
        )

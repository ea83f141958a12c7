"""What a unit of work adds to the change log of its queues, and to their numbers."""

from sqlalchemy import insert
from sqlalchemy.orm import Session

from mesh.encryption.field_cipher import FieldCipher
from queue_svc.domain.tickets import ChangeLogEntry, Counter, Ticket, event_type_of
from queue_svc.persistence.mapping import CHANGE, change_values
from queue_svc.persistence.models import QueueRow
from queue_svc.persistence.statistics_rollups import Rollups
from queue_svc.persistence.ticket_queries import reason_associated_data


class ChangeLogWriter:
    """Collects the changes of one unit of work, and writes them together."""

    def __init__(self, session: Session, cipher: FieldCipher) -> None:
        """Starts without a change.

        Args:
            session: The unit of work.
            cipher: Encrypts reasons.
        """
        self._session = session
        self._cipher = cipher
        self._rollups = Rollups(session)
        self._rows: list[dict[str, object]] = []
        self.made: list[tuple[ChangeLogEntry, Ticket]] = []
        """What happened, in order, and each ticket after it."""

    def record(
        self,
        before: Ticket | None,
        after: Ticket,
        queue: QueueRow,
        actor: str,
        reason: str,
        acting: Counter | None,
    ) -> None:
        """Adds a change of a ticket to its queue's log.

        Args:
            before: The ticket before; None when it is new.
            after: The ticket after.
            queue: Its queue, which is locked; its revision and its counts follow.
            actor: Account or service that made the change.
            reason: Why. May be empty.
            acting: Counter that acted; None when none did.
        """
        queue.revision += 1
        queue.last_change_time = after.update_time
        queue.waiting += after.waits - (before.waits if before else False)
        entry = _entry(before, after, queue, acting)
        self.made.append((entry, after))
        self._rollups.add(queue.id, before, after)
        ciphertext = self._encrypted(reason, after) if reason else None
        self._rows.append(change_values(entry, actor, ciphertext))

    def flush(self) -> None:
        """Writes the changes in one statement, then the numbers."""
        if self._rows:
            self._session.execute(insert(CHANGE), self._rows)
        self._rollups.flush()

    def _encrypted(self, reason: str, ticket: Ticket) -> bytes:
        return self._cipher.encrypt(
            reason.encode(), reason_associated_data(ticket.id, ticket.version)
        )


def _entry(
    before: Ticket | None, after: Ticket, queue: QueueRow, acting: Counter | None
) -> ChangeLogEntry:
    """Returns the entry of a change that its queue's row has counted."""
    return ChangeLogEntry(
        queue_id=queue.id,
        revision=queue.revision,
        act=event_type_of(before, after),
        ticket_id=after.id,
        number=after.number,
        journey_id=after.journey_id,
        institution_id=queue.institution_id,
        service_id=queue.service_id,
        day=queue.day,
        status=after.status,
        priority=after.priority,
        version=after.version,
        waiting=queue.waiting,
        time=after.update_time,
        counter=acting,
    )

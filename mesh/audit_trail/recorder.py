"""The recorder of the audit trail: who did what to whose data.

The contracts say what is kept (`policy.audit`, `audit_field`). A change is written down in its own
transaction, an access before its answer goes out, both into a table of the service that did it; a
relay takes them from there to user_svc, which keeps the trail. Whoever sees the same data again
in the same session within `ACCESS_SECONDS` is not written down again: a screen that refreshes
itself is one access.
"""

import asyncio
import datetime
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import TypeAlias

from cachetools import LRUCache
from google.protobuf.message import DecodeError, Message
from mediq.audit.v1.audit_pb2 import AuditAct, AuditEvent
from mediq.policy.v1.policy_pb2 import AuditClass
from opentelemetry.metrics import Meter
from sqlalchemy import MetaData, Table
from sqlalchemy.orm import Session

from mesh.audit_trail.events import (
    call_event,
    event_about,
    facility_of_call,
    subjects_of_call,
)
from mesh.clock import Clock, Monotonic
from mesh.contract.audit_fields import MAX_IDENTIFIERS, has_reason
from mesh.contract.call import Call
from mesh.encryption.encrypted_columns import EncryptedColumn
from mesh.encryption.field_cipher import DecryptionError, FieldCipher
from mesh.errors import MeshError, StatusCode
from mesh.messaging.events import Event, Unreadable
from mesh.observability.logs import logger
from mesh.observability.metrics import NO_METRICS
from mesh.persistence.batching import KeyedBatcher
from mesh.persistence.database import Database
from mesh.persistence.outbox import Outbox, outbox_table

__all__ = [
    "ACCESS_SECONDS",
    "AuditRecorder",
    "Send",
    "audit_table",
    "encrypted_events",
    "event_associated_data",
    "relayed_by_the_service",
]

ACCESS_SECONDS = 600
"""How long an access stands for further ones of the same session to the same data."""
REFUSAL_SECONDS = 2.0
"""How long a refusal waits to be written down: a database that hangs does not hold it up."""
REMEMBERED = 100_000
"""Accesses that a process remembers; one that it forgets is written down again."""
BATCH = 64
"""Most accesses in one transaction."""
Send: TypeAlias = Callable[[Sequence[AuditEvent]], Awaitable[object]]
"""Takes events into the trail, in order; raises MeshError when it cannot. It may get them again."""


async def relayed_by_the_service(events: Sequence[AuditEvent]) -> None:
    """Refuses to send: the recorder of a command only writes, the service beside it relays."""
    raise AssertionError("a command relays nothing")


def audit_table(metadata: MetaData) -> Table:
    """Makes the table of events on their way into the trail, for the models of a service."""
    return outbox_table(metadata, "audit_outbox")


def encrypted_events(table: Table) -> EncryptedColumn:
    """Describes the column of a table of `audit_table` that holds ciphertexts."""
    return EncryptedColumn(table, "payload", lambda row: event_associated_data(row.event_id))


def event_associated_data(event_id: str) -> str:
    """Returns what an encrypted event is bound to: see `FieldCipher.encrypt`."""
    return f"audit/{event_id}"


_REFUSALS = (StatusCode.PERMISSION_DENIED, StatusCode.NOT_FOUND)
"""What is out of somebody's reach is answered as if it did not exist."""
_Access: TypeAlias = tuple[str, str, str, str]
"""Session, method, facility, and whom or what it showed."""


class _Carrier:
    """Takes what the outbox holds into the trail."""

    def __init__(self, send: Send, cipher: FieldCipher) -> None:
        self._send = send
        self._cipher = cipher

    async def publish_all(self, events: Sequence[Event]) -> None:
        opened: list[AuditEvent] = []
        unreadable: list[str] = []
        for one in events:
            try:
                plain = self._cipher.decrypt(one.payload, event_associated_data(one.id))
                opened.append(AuditEvent.FromString(plain))
            except (DecryptionError, DecodeError):
                unreadable.append(one.id)
        if opened:
            await self._send(opened)
        if unreadable:
            raise Unreadable("events do not decrypt", event_ids=unreadable)


class AuditRecorder:
    """Writes down what one service sees and does."""

    def __init__(
        self,
        table: Table,
        database: Database,
        cipher: FieldCipher,
        send: Send,
        clock: Clock,
        meter: Meter = NO_METRICS,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        """Writes into `table` of `database`.

        Args:
            table: See `audit_table`.
            database: The service's database.
            cipher: Encrypts events: they name people and say why.
            send: Takes them into the trail.
            clock: Dates the events.
            meter: Makes the instruments.
            monotonic: Tells how long ago the same was seen.
        """
        self.clock = clock
        """Dates the events of the trail, those that others make too."""
        self._monotonic = monotonic
        self._database = database
        self._cipher = cipher
        self._outbox = Outbox(table, database, _Carrier(send, cipher), clock, meter)
        self._records = KeyedBatcher(self._record_all, BATCH)
        self._refusals: set[asyncio.Task[bool]] = set()
        self._seen: LRUCache[_Access, float] = LRUCache(REMEMBERED)

    def record_in(self, session: Session, events: Sequence[AuditEvent]) -> None:
        """Writes events in the transaction of what they tell of."""
        self._outbox.add_all(
            session,
            [
                Event(
                    one.id,
                    one.service,
                    self._cipher.encrypt(one.SerializeToString(), event_associated_data(one.id)),
                    one.occur_time.ToDatetime(datetime.UTC),
                )
                for one in events
            ],
        )

    def record_change(self, session: Session, call: Call | None, *messages: Message) -> None:
        """Writes a change of a call in its transaction; outside of a call there is none.

        Args:
            session: The unit of work with the effect.
            call: The call.
            messages: The request, and the answer if there is one.
        """
        if call is not None and call.method.policy.audit == AuditClass.AUDIT_CLASS_CHANGE:
            change = call_event(call, AuditAct.AUDIT_ACT_CHANGE, messages, self.clock)
            self.record_in(session, [change])

    async def record(self, *events: AuditEvent) -> None:
        """Writes events in a transaction of their own, shared with others that come now.

        Raises:
            MeshError: The database does not answer: nothing is written.
        """
        await self._records.submit("", events)

    async def record_access(self, call: Call, request: Message, answer: Message) -> None:
        """Writes down whose data an answer shows, unless the session has just seen the same.

        Raises:
            MeshError: The database does not answer: then the answer must not go out.
        """
        # An access stands for what comes within ACCESS_SECONDS of its time, not of its writing.
        now = self._monotonic()
        subjects = subjects_of_call(call, (request, answer))
        always = call.principal is None or has_reason(request.DESCRIPTOR)
        shown = list(subjects.persons) or list(subjects.objects) or [""]
        unseen = self._unseen(call, facility_of_call(call, subjects), shown, now)
        if not always:
            if not unseen:
                return
            fresh = {subject for *_, subject in unseen}
            subjects.persons = {person: None for person in subjects.persons if person in fresh}
        persons, events = list(subjects.persons), []
        for start in range(0, max(1, len(persons)), MAX_IDENTIFIERS):
            subjects.persons = dict.fromkeys(persons[start : start + MAX_IDENTIFIERS])
            events.append(event_about(call, AuditAct.AUDIT_ACT_ACCESS, subjects, self.clock))
        await self.record(*events)
        self._remember(unseen, now)

    async def record_denied_call(self, call: Call, request: Message, error: MeshError) -> None:
        """Writes down that a signed-in person tried what they may not do, or may not know of.

        Never fails, see `record_refusal`.
        """
        if (
            error.kind not in _REFUSALS
            or call.principal is None
            or call.method.policy.audit == AuditClass.AUDIT_CLASS_NONE
        ):
            return
        now = self._monotonic()
        event = call_event(
            call, AuditAct.AUDIT_ACT_REFUSED, [request], self.clock, refusal=error.reason
        )
        targets = [*event.person_ids, *event.object_ids] or [""]
        subjects = [f"{error.reason} {target}" for target in targets]
        unseen = self._unseen(call, event.institution_id, subjects, now)
        if unseen and await self.record_refusal(event):
            self._remember(unseen, now)

    async def record_refusal(self, event: AuditEvent) -> bool:
        """Writes down that somebody was refused. The refusal goes out even when that fails.

        Returns:
            Whether it is written by now.
        """
        # In a task of its own: whoever hangs up at once is written down too.
        writing = asyncio.create_task(self._write_refusal(event))
        self._refusals.add(writing)
        writing.add_done_callback(self._refusals.discard)
        done, _ = await asyncio.wait({writing}, timeout=REFUSAL_SECONDS)
        if not done:
            logger().error("a refusal waits for the audit trail", method=event.method)
            return False
        return writing.result()

    async def _write_refusal(self, event: AuditEvent) -> bool:
        try:
            await self.record(event)
        except Exception as failure:
            logger().error("a refusal is not in the audit trail", exc_info=failure)
            return False
        return True

    async def relay(self) -> None:
        """Takes events into the trail, in order, for ever."""
        await self._outbox.relay()

    def _unseen(
        self, call: Call, institution_id: str, subjects: Iterable[str], now: float
    ) -> list[_Access]:
        session = call.principal.session_id if call.principal is not None else ""
        oldest = now - ACCESS_SECONDS
        accesses = [(session, call.method.path, institution_id, subject) for subject in subjects]
        return [access for access in accesses if self._seen.get(access, oldest) <= oldest]

    def _remember(self, accesses: Iterable[_Access], now: float) -> None:
        self._seen.update(dict.fromkeys(accesses, now))

    async def _record_all(self, records: Sequence[Sequence[AuditEvent]]) -> Sequence[None]:
        events = [event for record in records for event in record]
        await self._database.write(partial(self.record_in, events=events))
        return [None] * len(records)

"""Changes of tickets: each with its event and its answer in one transaction, many in one commit."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from google.protobuf.message import Message
from mediq.audit.v1.audit_pb2 import AuditAct, AuditEvent
from mediq.queue.v1 import queue_pb2 as messages
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mesh.audit_trail.recorder import AuditRecorder, call_event
from mesh.contract.access_scope import AccessScope
from mesh.contract.call import Call, current_call
from mesh.errors import MeshError, StatusCode
from mesh.idempotency import Idempotency, key_of, reused
from mesh.persistence.batching import KeyedBatcher
from mesh.persistence.database import Database
from mesh.persistence.outbox import Outbox
from mesh.shared_state.cache import Cache
from queue_svc.domain.days import Clock
from queue_svc.domain.tickets import ChangeLogEntry, Service, Ticket
from queue_svc.messages.tickets import event_of, ticket_message
from queue_svc.persistence.ticket_repository import (
    NewTicket,
    OpenTicketRepository,
    TicketRepository,
)
from queue_svc.persistence.waiting_lists import WaitingListProjection

BATCH = 64
"""Most changes in one transaction."""
LINGER_SECONDS = 0.006
"""How long the tickets of a busy service wait for each other: less than one write to the disk."""
RIVALS = 2
"""Unique keys that a change may lose to another replica: one of its effect, and the request's."""
Outcome = messages.Ticket | MeshError
Command = TypeVar("Command", "IssueTicket", "ChangeTicket")


@dataclass(frozen=True)
class IssueTicket:
    """A request for a new ticket."""

    caller: str
    """Who asks; two callers may choose the same request_id."""
    request: Message
    plan: Callable[[], tuple[Service, NewTicket]]
    """Says what to issue; raises what the facility's facts failed with."""
    call: Call | None = field(default_factory=current_call)
    """The call that asks, for the audit trail."""


@dataclass(frozen=True)
class ChangeTicket:
    """A request for a change of a ticket."""

    caller: str
    """Who asks; two callers may choose the same request_id."""
    request: Message
    scope: AccessScope
    work: Callable[[TicketRepository], Ticket]
    """Makes the change. It refuses before it writes: others share its transaction."""
    call: Call | None = field(default_factory=current_call)
    """The call that asks, for the audit trail."""


@dataclass(frozen=True)
class CommandResult:
    """What became of a request."""

    outcome: Outcome
    touched: Sequence[Ticket] = ()
    """The tickets that it changed, more than the answer shows."""


class TicketCommandHandler:
    """Puts changes of the same queue together and does them."""

    def __init__(
        self,
        database: Database,
        idempotency: Idempotency,
        outbox: Outbox,
        recorder: AuditRecorder,
        store: OpenTicketRepository,
        waiting_lists: WaitingListProjection,
        cache: Cache,
        clock: Clock,
        publish_local: Callable[[Sequence[ChangeLogEntry]], None],
    ) -> None:
        """Writes to `database`.

        Args:
            database: The tickets.
            idempotency: Remembers answers.
            outbox: Takes events.
            recorder: Where changes are written down.
            store: Opens the store.
            waiting_lists: Who waits.
            cache: Holds copies of what a change makes old.
            clock: Gives the time.
            publish_local: Takes what was committed, before the bus does.
        """
        self._database = database
        self._idempotency = idempotency
        self._outbox = outbox
        self._recorder = recorder
        self._store = store
        self._waiting_lists = waiting_lists
        self._cache = cache
        self._clock = clock
        self._publish_local = publish_local
        self._joining = KeyedBatcher(self._join_all, BATCH, LINGER_SECONDS)
        self._changing = KeyedBatcher(self._change_all, BATCH)

    async def issue(self, key: Hashable, joining: IssueTicket) -> messages.Ticket:
        """Issues a ticket, together with others of the key.

        Args:
            key: Facility and service.
            joining: The request.

        Raises:
            MeshError: What the plan raises, ACTIVE_TICKET_EXISTS, REQUEST_ID_REUSED.
        """
        return await self._joining.submit(key, joining)

    async def change(self, key: Hashable, changing: ChangeTicket) -> messages.Ticket:
        """Changes a ticket, together with others of the key.

        Args:
            key: What is changed together: a service, or a ticket.
            changing: The request.

        Raises:
            MeshError: What the work raises, REQUEST_ID_REUSED.
        """
        return await self._changing.submit(key, changing)

    async def _join_all(self, asked: Sequence[IssueTicket]) -> Sequence[Outcome | Exception]:
        return await self._commit(asked, self._join)

    async def _change_all(self, asked: Sequence[ChangeTicket]) -> Sequence[Outcome | Exception]:
        return await self._commit(asked, self._change)

    async def _commit(
        self,
        asked: Sequence[Command],
        effect: Callable[[TicketRepository, Sequence[Command]], list[CommandResult]],
    ) -> Sequence[Outcome | Exception]:
        """Does a batch in one transaction; each alone when that fails for a reason not foreseen."""
        for _ in range(RIVALS + 1):
            try:
                outcomes, made = await self._database.write(
                    lambda session: self._once(session, asked, effect)
                )
            except MeshError as error:
                # The database does not answer, or a change was refused after it had written.
                if error.kind is not StatusCode.ABORTED or len(asked) == 1:
                    return [error] * len(asked)
            except IntegrityError as error:
                # Another replica wrote the same key at the same moment: what it wrote counts.
                failure: Exception = error
                if len(asked) == 1:
                    continue
            except Exception:
                if len(asked) == 1:
                    raise
            else:
                self._outbox.wake()
                self._waiting_lists.committed(made)
                entries = [entry for entry, _ in made]
                self._publish_local(entries)
                for institution_id in {entry.institution_id for entry in entries}:
                    await self._cache.invalidate(institution_id)
                return await self._settled(asked, outcomes)
            return [await self._alone(one, effect) for one in asked]
        raise failure

    async def _alone(
        self,
        one: Command,
        effect: Callable[[TicketRepository, Sequence[Command]], list[CommandResult]],
    ) -> Outcome | Exception:
        try:
            return (await self._commit([one], effect))[0]
        except Exception as error:
            return error

    async def _settled(
        self, asked: Sequence[Command], outcomes: Sequence[Outcome]
    ) -> Sequence[Outcome]:
        """The outcomes; for one that was refused because of an equal request, that one's answer."""
        refused = [
            index
            for index, outcome in enumerate(outcomes)
            if isinstance(outcome, MeshError)
            and key_of(asked[index].request, asked[index].caller)[1]
        ]
        if not refused:
            return outcomes
        keys = [(asked[index].caller, asked[index].request) for index in refused]
        known = await self._database.read(
            lambda session: self._idempotency.replay_all(session, keys, messages.Ticket)
        )
        settled = list(outcomes)
        for index, answer in zip(refused, known, strict=True):
            settled[index] = answer or settled[index]
        return settled

    def _once(
        self,
        session: Session,
        asked: Sequence[Command],
        effect: Callable[[TicketRepository, Sequence[Command]], list[CommandResult]],
    ) -> tuple[list[Outcome], Sequence[tuple[ChangeLogEntry, Ticket]]]:
        """Does what was not done before; gives the outcomes, and what happened."""
        known = self._idempotency.replay_all(
            session, [(one.caller, one.request) for one in asked], messages.Ticket
        )
        first: dict[tuple[str, str], int] = {}
        fresh: list[int] = []
        for index, one in enumerate(asked):
            key = key_of(one.request, one.caller)
            if known[index] is None and (not key[1] or first.setdefault(key, index) == index):
                fresh.append(index)
        store = self._store(session, AccessScope())
        made = effect(store, [asked[index] for index in fresh])
        self._recorder.record_in(session, _events([asked[index] for index in fresh], made))
        outcomes = {index: one.outcome for index, one in zip(fresh, made, strict=True)}
        self._outbox.add_all(session, [event_of(entry) for entry, _ in store.made])
        self._idempotency.remember_all(
            session,
            [
                (asked[index].caller, asked[index].request, outcome)
                for index, outcome in outcomes.items()
                if not isinstance(outcome, MeshError)
            ],
        )
        answers: list[Outcome] = []
        for index, one in enumerate(asked):
            answer = known[index] or outcomes.get(index)
            if answer is None:
                leader = first[key_of(one.request, one.caller)]
                same = one.request == asked[leader].request
                answer = outcomes[leader] if same else reused()
            answers.append(answer)
        return answers, store.made

    def _join(self, store: TicketRepository, asked: Sequence[IssueTicket]) -> list[CommandResult]:
        """Issues the tickets of a batch, which are all of one service."""
        now = self._clock()
        planned: list[tuple[Service, NewTicket] | MeshError] = [_planned(one) for one in asked]
        plans = [one for one in planned if not isinstance(one, MeshError)]
        if not plans:
            return [CommandResult(one) for one in planned if isinstance(one, MeshError)]
        results, line = store.issue(plans[-1][0], [issue for _, issue in plans], now)
        store.finish()
        made = iter(
            CommandResult(one if isinstance(one, MeshError) else ticket_message(one, line))
            for one in results
        )
        return [CommandResult(one) if isinstance(one, MeshError) else next(made) for one in planned]

    def _change(
        self, store: TicketRepository, asked: Sequence[ChangeTicket]
    ) -> list[CommandResult]:
        """Makes the changes of a batch, one after the other."""
        results: list[tuple[Ticket | MeshError, Sequence[Ticket]]] = []
        store.calls_expected = len(asked)
        for one in asked:
            store.scope = one.scope
            before = len(store.made)
            try:
                ticket = one.work(store)
            except MeshError as error:
                if error.kind is StatusCode.ABORTED:
                    raise
                results.append((error, ()))
            else:
                results.append((ticket, [made for _, made in store.made[before:]]))
        store.finish()
        return [
            CommandResult(one)
            if isinstance(one, MeshError)
            else CommandResult(
                ticket_message(one, store.uncached_waiting_list(one, self._clock())), touched
            )
            for one, touched in results
        ]


def _events(
    asked: Sequence[IssueTicket | ChangeTicket], made: Sequence[CommandResult]
) -> list[AuditEvent]:
    """What the audit trail is told of a batch; refusals are not in it."""
    return [
        call_event(
            one.call,
            AuditAct.AUDIT_ACT_CHANGE,
            (one.request, effect.outcome),
            persons=[ticket.patient_id for ticket in effect.touched],
            objects=[ticket.id for ticket in effect.touched],
        )
        for one, effect in zip(asked, made, strict=True)
        if one.call is not None and not isinstance(effect.outcome, MeshError)
    ]


def _planned(joining: IssueTicket) -> tuple[Service, NewTicket] | MeshError:
    try:
        return joining.plan()
    except MeshError as error:
        return error

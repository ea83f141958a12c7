"""Group commit: commands with their events and their answers, many in one transaction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from google.protobuf.message import Message
from mediq.audit.v1.audit_pb2 import AuditAct, AuditEvent
from mediq.queue.v1 import queue_pb2 as messages
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mesh.audit_trail.events import call_event
from mesh.audit_trail.recorder import AuditRecorder
from mesh.clock import Clock
from mesh.contract.call import Call, current_call
from mesh.errors import MeshError, StatusCode, reused_request_id
from mesh.idempotency import Idempotency, key_of
from mesh.persistence.outbox import Outbox
from mesh.shared_state.cache import Cache
from queue_svc.application.unit_of_work import UnitsOfWork
from queue_svc.domain.tickets import ChangeLogEntry, Ticket
from queue_svc.messages.tickets import event_of
from queue_svc.persistence.ticket_repository import TicketRepository
from queue_svc.persistence.waiting_lists import WaitingListProjection

RIVALS = 2
"""Unique keys that a change may lose to another replica: one of its effect, and the request's."""
Outcome = messages.Ticket | MeshError


@dataclass(frozen=True, kw_only=True)
class TicketCommand:
    """Says what is asked for, and by whom."""

    caller: str
    """Who asks; two callers may choose the same request_id."""
    request: Message
    """The request, by which a repeated one is known."""
    call: Call | None = field(default_factory=current_call)
    """The call that asks, for the audit trail."""


@dataclass(frozen=True)
class CommandResult:
    """Says what became of a command."""

    outcome: Outcome
    touched: Sequence[Ticket] = ()
    """The tickets that it changed, more than the answer shows."""


Command = TypeVar("Command", bound=TicketCommand)
Execute = Callable[[TicketRepository, Sequence[Command]], list[CommandResult]]
"""Executes new commands in one transaction. A command is refused before it writes."""


class GroupCommit:
    """Executes commands of one key together, each once."""

    def __init__(
        self,
        units: UnitsOfWork,
        idempotency: Idempotency,
        outbox: Outbox,
        recorder: AuditRecorder,
        waiting_lists: WaitingListProjection,
        cache: Cache,
        publish_local: Callable[[Sequence[ChangeLogEntry]], None],
    ) -> None:
        """Writes in units of work.

        Args:
            units: Opens the tickets.
            idempotency: Remembers answers.
            outbox: Takes events.
            recorder: Where changes are recorded for the audit trail.
            waiting_lists: Takes what was committed, so that it need not be read.
            cache: Holds values that a change makes old.
            publish_local: Takes what was committed, before the bus does.
        """
        self._units = units
        self._idempotency = idempotency
        self._outbox = outbox
        self._recorder = recorder
        self._waiting_lists = waiting_lists
        self._cache = cache
        self._publish_local = publish_local

    async def commit(
        self, commands: Sequence[Command], execute: Execute[Command]
    ) -> Sequence[Outcome | Exception]:
        """Executes commands in one transaction; each alone when that fails unforeseen.

        Args:
            commands: The commands, of which some may be repeated.
            execute: Executes the new ones.

        Returns:
            The answer or the error of each.
        """
        for _ in range(RIVALS + 1):
            try:
                outcomes, made = await self._units.write(self._execute_new, commands, execute)
            except MeshError as error:
                # The database does not answer, or a change was refused after it had written.
                if error.kind is not StatusCode.ABORTED or len(commands) == 1:
                    return [error] * len(commands)
            except IntegrityError as error:
                # Another replica wrote the same key at the same moment: what it wrote counts.
                failure: Exception = error
                if len(commands) == 1:
                    continue
            except Exception:
                if len(commands) == 1:
                    raise
            else:
                self._outbox.wake()
                self._waiting_lists.committed(made)
                entries = [entry for entry, _ in made]
                self._publish_local(entries)
                for institution_id in {entry.institution_id for entry in entries}:
                    await self._cache.invalidate(institution_id)
                return await self._settled(commands, outcomes)
            return [await self._alone(one, execute) for one in commands]
        raise failure

    async def _alone(self, command: Command, execute: Execute[Command]) -> Outcome | Exception:
        try:
            return (await self.commit([command], execute))[0]
        except Exception as error:
            return error

    async def _settled(
        self, commands: Sequence[Command], outcomes: Sequence[Outcome]
    ) -> Sequence[Outcome]:
        """Returns the outcomes; for one refused because of an equal request, that one's answer."""
        refused = [
            index
            for index, outcome in enumerate(outcomes)
            if isinstance(outcome, MeshError)
            and key_of(commands[index].request, commands[index].caller)[1]
        ]
        if not refused:
            return outcomes
        keys = [(commands[index].caller, commands[index].request) for index in refused]
        known = await self._units.read(self._idempotency.replay_all, keys, messages.Ticket)
        settled = list(outcomes)
        for index, answer in zip(refused, known, strict=True):
            settled[index] = answer or settled[index]
        return settled

    def _execute_new(
        self, session: Session, commands: Sequence[Command], execute: Execute[Command]
    ) -> tuple[list[Outcome], Sequence[tuple[ChangeLogEntry, Ticket]]]:
        """Executes what was not done before; returns the outcomes, and what happened."""
        known = self._idempotency.replay_all(
            session, [(one.caller, one.request) for one in commands], messages.Ticket
        )
        first: dict[tuple[str, str], int] = {}
        new: list[int] = []
        for index, one in enumerate(commands):
            key = key_of(one.request, one.caller)
            if known[index] is None and (not key[1] or first.setdefault(key, index) == index):
                new.append(index)
        repository = self._units.ticket_repository(session)
        results = execute(repository, [commands[index] for index in new])
        executed = [commands[index] for index in new]
        self._recorder.record_in(session, _events(executed, results, self._recorder.clock))
        outcomes = {index: one.outcome for index, one in zip(new, results, strict=True)}
        self._outbox.add_all(session, [event_of(entry) for entry, _ in repository.made])
        self._idempotency.remember_all(
            session,
            [
                (commands[index].caller, commands[index].request, outcome)
                for index, outcome in outcomes.items()
                if not isinstance(outcome, MeshError)
            ],
        )
        answers: list[Outcome] = []
        for index, one in enumerate(commands):
            answer = known[index] or outcomes.get(index)
            if answer is None:
                leader = first[key_of(one.request, one.caller)]
                same = one.request == commands[leader].request
                answer = outcomes[leader] if same else reused_request_id()
            answers.append(answer)
        return answers, repository.made


def _events(
    commands: Sequence[TicketCommand], results: Sequence[CommandResult], clock: Clock
) -> list[AuditEvent]:
    """Returns what the audit trail is told of a batch; refusals are not in it."""
    return [
        call_event(
            one.call,
            AuditAct.AUDIT_ACT_CHANGE,
            (one.request, result.outcome),
            clock,
            persons=[ticket.patient_id for ticket in result.touched],
            objects=[ticket.id for ticket in result.touched],
        )
        for one, result in zip(commands, results, strict=True)
        if one.call is not None and not isinstance(result.outcome, MeshError)
    ]

"""The service against a model of its rules: any requests in any order, alone and at once."""

from __future__ import annotations

import asyncio
import datetime
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from mediq.queue.v1 import ticket_service_pb2 as requests
from mediq.queue.v1.event_pb2 import TicketEvent, TicketEventType
from mediq.queue.v1.queue_pb2 import Ticket

from mesh.messaging.events import Subscription
from mesh.persistence.database import make_engine
from tests.queue_svc import ledger
from tests.queue_svc.conftest import MORNING, Metadata, Place, World, uid, world_of
from tests.queue_svc.consistency.clinic_model import (
    EMPTY,
    PRESENT,
    URGENT,
    Clinic,
    Patient,
    Refused,
)
from tests.queue_svc.ledger import ACTS, CALLED, CANCELLED, DONE, NO_SHOW, SERVING, SKIPPED, WAITING
from tests.support.mesh import Mesh, problem
from tests.support.runs.depth import DEPTH
from tests.support.waiting import PATIENCE_SECONDS

Result = TypeVar("Result")
PROFILE = settings(
    max_examples=12 * DEPTH,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    database=None,
    suppress_health_check=list(HealthCheck),
)
MORE = 3
"""Further runs, by chance, until everything has happened once."""
CLINIC, PHARMACY = 0, 1
COUNTERS = st.integers(0, 3)
SERVICES = st.sampled_from([CLINIC, CLINIC, CLINIC, PHARMACY])
PATIENTS = st.integers(0, 11)
REASONS = st.sampled_from(["", "alasan"])
ANY = st.integers(0, 999)
"""Stands for one of the tickets there are."""
MOVES = {status: sorted({end for start, end in ACTS if start == status}) for status in range(1, 9)}
WAYS = {
    "start": (CALLED, SERVING),
    "skip": (CALLED, SKIPPED),
    "recall": (CALLED, CALLED),
    "recall to the limit": (CALLED, CALLED),
    "give up": (CALLED, NO_SHOW),
    "undo": (CALLED, WAITING),
    "stop": (SERVING, WAITING),
    "end": (SERVING, DONE),
    "transfer": (SERVING, ledger.TRANSFERRED),
    "return": (SKIPPED, WAITING),
}
ACTIONS = [*WAYS, "start", "start", "transfer"]
METHODS = {
    requests.CreateTicketRequest: "CreateTicket",
    requests.IssueTicketRequest: "IssueTicket",
    requests.CallNextTicketRequest: "CallNextTicket",
    requests.CallTicketRequest: "CallTicket",
    requests.UpdateTicketStatusRequest: "UpdateTicketStatus",
    requests.CancelTicketRequest: "CancelTicket",
    requests.TransferTicketRequest: "TransferTicket",
    requests.SetTicketPriorityRequest: "SetTicketPriority",
}


@dataclass
class Stage:
    """The service and the loop that it runs in, for all examples; each has its own facility."""

    runner: asyncio.Runner
    world: World
    url: str


@dataclass(frozen=True)
class Answered:
    """A request that was granted."""

    request: Message
    metadata: Metadata
    answer: Ticket


@pytest.fixture
def stage(mesh: Mesh, database_url: str) -> Iterator[Stage]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        world = runner.run(
            stack.enter_async_context(world_of(mesh, database_url, tickets_an_hour=1000))
        )
        yield Stage(runner, world, database_url)
        runner.run(stack.aclose())


class Machine(RuleBasedStateMachine):
    """Asks the service and the model the same.

    No rule has a precondition: which of two requests wins is left to chance, and what Hypothesis
    chooses must not depend on it.
    """

    stage: ClassVar[Stage]
    seen: ClassVar[Counter[str]]
    """How often each kind of answer was given, in all examples."""

    @initialize()
    def begin(self) -> None:
        world = self.stage.world
        world.clock.now = MORNING
        self.place: Place = world.facilities.open(counters=4)
        self.services = [self.place.service, self.place.pharmacy]
        self.operator = world.operator_of(self.place)
        self.patients = [uid() for _ in range(12)]
        self.clinic = Clinic(MORNING)
        self.answered: list[Answered] = []
        self.events: list[TicketEvent] = []
        self.sound = False
        """Whether all that was asked for has been found right."""
        self.engine = make_engine(self.stage.url, 1)
        self.listening = AsyncExitStack()
        self.subscription: Subscription = self.run(
            self.listening.enter_async_context(world.bus.subscribe(f"{self.place.facility}.#"))
        )
        # The morning has begun: one is served, one is called, some wait.
        for patient in range(8):
            self.take(patient, CLINIC, patient % 3, "")
        for counter in range(2):
            self.call_next(CLINIC, counter, False)
        self.go_on(0, "start", "")

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.stage.runner.run(work)

    def teardown(self) -> None:
        if hasattr(self, "listening"):
            late = self.run(self.subscription.next(0.02))
            self.run(self.listening.aclose())
            self.engine.dispose()
            # Nothing comes late, and nothing twice; unless a step failed, which is said instead.
            # What is later still is missed; a sound service never fails.
            assert late is None or not self.sound

    # How requests are made.

    async def send(self, request: Message, metadata: Metadata) -> Ticket:
        self.sound = False
        world = self.stage.world
        internal = isinstance(request, requests.IssueTicketRequest)
        call: Callable[..., Awaitable[Ticket]] = getattr(
            world.internal if internal else world.stub, METHODS[type(request)]
        )
        answer = await (call(request) if internal else call(request, metadata=metadata))
        self.answered.append(Answered(request, metadata, answer))
        return answer

    async def outcome(self, request: Message, metadata: Metadata) -> Ticket | Refused:
        made: list[Ticket] = []

        async def change() -> None:
            made.append(await self.send(request, metadata))

        try:
            return await problem(change())
        except AssertionError:
            return made[0]

    def ask(self, request: Message, refused: Refused | None, by: Metadata = ()) -> Ticket | None:
        found = self.run(self.outcome(request, by or self.operator))
        self.seen[found[1] if isinstance(found, tuple) else METHODS[type(request)]] += 1
        if refused is None:
            assert isinstance(found, Ticket), found
            return found
        assert found == refused
        return None

    def next_request(self, service: int, counter: int, finish: bool) -> Message:
        return requests.CallNextTicketRequest(
            request_id=uid(),
            institution_id=self.place.facility,
            service_id=self.services[service],
            counter_id=self.place.counters[counter],
            finish_current=finish,
        )

    def take_request(self, patient: int, service: int, priority: int = 0) -> Message:
        return requests.CreateTicketRequest(
            request_id=uid(),
            institution_id=self.place.facility,
            service_id=self.services[service],
            patient_id=self.patients[patient],
            priority=priority,  # type: ignore[arg-type]
            priority_reason="sesak" if priority == URGENT else "",
        )

    def some(self, index: int) -> Patient:
        # The later ones are more likely to be open.
        return self.clinic.tickets[-1 - index % len(self.clinic.tickets)]

    def called(self, answer: Ticket, counter: int) -> Patient:
        one = next(one for one in self.clinic.tickets if one.id == answer.id)
        self.clinic.moved(one, CALLED, counter)
        assert answer.counter_name == f"Loket {counter + 1}"
        assert (answer.status, answer.version, answer.calls) == (CALLED, one.version, one.calls)
        return one

    def joined(
        self, answer: Ticket, service: int, priority: int, after: Patient | None = None
    ) -> None:
        ahead = self.clinic.waiting(service)
        one = self.clinic.issued(answer.id, answer.patient_id, service, priority, after)
        assert answer.number == f"{'AB'[service]}-{one.sequence:03d}"
        assert (answer.status, answer.version, answer.priority) == (WAITING, 1, priority)
        assert answer.service_day == self.clinic.day()
        assert answer.estimated_wait.seconds >= 0
        if priority == URGENT:
            ahead = [one for one in ahead if one.priority == URGENT]
            assert answer.people_ahead == len(ahead)
        assert answer.people_ahead <= len(ahead)

    # Requests, one at a time.

    @rule(patient=PATIENTS, service=SERVICES, priority=st.integers(0, 4), reason=REASONS)
    def take(self, patient: int, service: int, priority: int, reason: str) -> None:
        request = self.take_request(patient, service, priority)
        assert isinstance(request, requests.CreateTicketRequest)
        request.priority_reason = reason
        refused = None
        if self.clinic.present(service, self.patients[patient]):
            refused = PRESENT
        if priority == URGENT and not reason:
            refused = "INVALID_ARGUMENT", "PRIORITY_REASON_REQUIRED"
        if answer := self.ask(request, refused):
            self.joined(answer, service, priority or 2)

    @rule(patient=PATIENTS, grounds=st.sets(st.integers(1, 4), max_size=2))
    def take_with_grounds(self, patient: int, grounds: set[int]) -> None:
        request = requests.CreateTicketRequest(
            request_id=uid(),
            institution_id=self.place.facility,
            service_id=self.place.service,
            patient_id=self.patients[patient],
            priority_grounds=sorted(grounds),  # type: ignore[arg-type]
        )
        present = self.clinic.present(CLINIC, self.patients[patient])
        if answer := self.ask(request, PRESENT if present else None):
            self.joined(answer, CLINIC, 3 if grounds else 2)

    @rule(patient=PATIENTS, age=st.sampled_from([0, 30, 59, 60, 90]))
    def register(self, patient: int, age: int) -> None:
        request = requests.IssueTicketRequest(
            request_id=uid(),
            institution_id=self.place.facility,
            service_id=self.place.service,
            patient_id=self.patients[patient],
            age_years=age,
        )
        present = self.clinic.present(CLINIC, self.patients[patient])
        if answer := self.ask(request, PRESENT if present else None):
            self.joined(answer, CLINIC, 3 if age >= 60 else 2)

    @rule(service=SERVICES, counter=COUNTERS, finish=st.booleans())
    def call_next(self, service: int, counter: int, finish: bool) -> None:
        following = self.clinic.following(service)
        request = self.next_request(service, counter, finish)
        answer = self.ask(request, None if following else EMPTY)
        if answer is not None:
            assert answer.id in following
            if finish:
                self.clinic.finished(service, counter)
            self.called(answer, counter)

    @rule(index=ANY, counter=COUNTERS, own=st.booleans())
    def call_one(self, index: int, counter: int, own: bool) -> None:
        if not self.clinic.tickets:
            return
        one = self.some(index)
        if own and one.counter is not None:
            counter = one.counter
        request = requests.CallTicketRequest(
            request_id=uid(), id=one.id, counter_id=self.place.counters[counter]
        )
        if answer := self.ask(request, self.clinic.call_refused(one, counter)):
            self.called(answer, counter)

    @rule(index=ANY, status=st.integers(1, 8), likely=st.integers(0, 11), reason=REASONS)
    def move(self, index: int, status: int, likely: int, reason: str) -> None:
        if not self.clinic.tickets:
            return
        one = self.some(index)
        if likely and MOVES[one.status]:
            status = MOVES[one.status][likely % len(MOVES[one.status])]
        self.moved(one, status, reason)

    @rule(index=ANY, act=st.sampled_from(ACTIONS), reason=REASONS)
    def go_on(self, index: int, act: str, reason: str) -> None:
        """The likely next step of somebody; one rule, because each example leaves out some."""
        source, status = WAYS[act]
        if not self.clinic.those(source):
            if source == CALLED:
                self.call_next(CLINIC, index % 4, False)
            else:
                self.go_on(index, "start" if source == SERVING else "skip", "")
        if not (found := self.clinic.those(source)):
            return
        one = found[index % len(found)]
        place = self.clinic.tickets[::-1].index(one)
        if act == "recall":
            self.call_one(place, 0, True)
        elif act == "recall to the limit":
            for _ in range(4):
                self.call_one(place, 0, True)
        elif act == "transfer":
            self.transfer(place, PHARMACY if index % 5 else CLINIC)
        else:
            self.moved(one, status, reason)

    def moved(self, one: Patient, status: int, reason: str) -> None:
        request = requests.UpdateTicketStatusRequest(
            request_id=uid(),
            id=one.id,
            status=status,  # type: ignore[arg-type]
            reason=reason,
        )
        if answer := self.ask(request, self.clinic.move_refused(one, status, reason)):
            self.clinic.moved(one, status)
            assert (answer.status, answer.version) == (status, one.version)

    @rule(index=ANY, stranger=st.integers(0, 5))
    def cancel(self, index: int, stranger: int) -> None:
        if not self.clinic.tickets:
            return
        one = self.some(index)
        request = requests.CancelTicketRequest(request_id=uid(), id=one.id)
        refused = self.clinic.move_refused(one, CANCELLED, "")
        if stranger == 0:
            refused = "NOT_FOUND", "TICKET_NOT_FOUND"
        who = uid() if stranger == 0 else one.patient
        if self.ask(request, refused, self.stage.world.session(who)):
            self.clinic.moved(one, CANCELLED)

    @rule(index=ANY, service=st.sampled_from([PHARMACY, CLINIC]))
    def transfer(self, index: int, service: int) -> None:
        if not self.clinic.tickets:
            return
        one = self.some(index)
        request = requests.TransferTicketRequest(
            request_id=uid(), id=one.id, service_id=self.services[service], reason="obat"
        )
        if answer := self.ask(request, self.clinic.transfer_refused(one, service)):
            assert answer.previous_ticket_id == one.id
            self.joined(answer, service, one.priority, one)
            self.clinic.moved(one, ledger.TRANSFERRED)

    @rule(index=ANY, priority=st.integers(1, 4), reason=REASONS)
    def set_priority(self, index: int, priority: int, reason: str) -> None:
        if not self.clinic.tickets:
            return
        one = self.some(index)
        request = requests.SetTicketPriorityRequest(
            request_id=uid(),
            id=one.id,
            priority=priority,  # type: ignore[arg-type]
            reason=reason,
        )
        if self.ask(request, self.clinic.priority_refused(one, priority, reason)):
            one.priority = priority
            self.clinic.touched(one)

    @rule(index=ANY, times=st.integers(1, 3))
    def repeat(self, index: int, times: int) -> None:
        if not self.answered:
            return
        one = self.answered[index % len(self.answered)]

        async def all_at_once() -> list[Ticket]:
            return await asyncio.gather(
                *(self.send(one.request, one.metadata) for _ in range(times))
            )

        for answer in self.run(all_at_once()):
            assert _bytes(answer) == _bytes(one.answer)

    @rule(index=ANY)
    def repeat_with_another_body(self, index: int) -> None:
        if not self.answered:
            return
        one = self.answered[index % len(self.answered)]
        other = type(one.request)()
        other.CopyFrom(one.request)
        names = {found.name for found in other.DESCRIPTOR.fields}
        if "finish_current" in names:
            setattr(other, "finish_current", not getattr(other, "finish_current"))  # noqa: B009,B010
        elif "age_years" in names:
            setattr(other, "age_years", getattr(other, "age_years") + 1)  # noqa: B009,B010
        elif "counter_id" in names:
            counters = self.place.counters
            index = counters.index(getattr(other, "counter_id"))  # noqa: B009
            setattr(other, "counter_id", counters[index - 1])  # noqa: B010
        else:
            name = "priority_reason" if "priority_reason" in names else "reason"
            setattr(other, name, getattr(other, name) + "!")
        self.ask(other, ("ALREADY_EXISTS", "REQUEST_ID_REUSED"), one.metadata)

    # Time.

    def at(self, moment: datetime.datetime) -> None:
        self.clinic.now = self.stage.world.clock.now = moment

    @rule(seconds=st.one_of(st.integers(1, 120), st.integers(1, 2400)))
    def time_goes_on(self, seconds: int) -> None:
        self.at(self.clinic.now + datetime.timedelta(seconds=seconds))

    @rule(seconds=st.integers(1, 900))
    def the_clock_is_put_back(self, seconds: int) -> None:
        self.at(self.clinic.now - datetime.timedelta(seconds=seconds))

    @rule(minutes=st.integers(-15, 30), hours=st.sampled_from([0, 0, 0, 5, 6]))
    def midnight(self, minutes: int, hours: int) -> None:
        local = self.clinic.now + datetime.timedelta(hours=7)
        midnight = (local + datetime.timedelta(days=1)).replace(hour=0, minute=0, second=0)
        self.at(midnight + datetime.timedelta(hours=hours - 7, minutes=minutes))

    # Requests at once.

    async def together(self, asked: list[Message]) -> list[Ticket | Refused]:
        return await asyncio.gather(*(self.outcome(one, self.operator) for one in asked))

    @rule(service=SERVICES, count=st.integers(2, 4))
    def call_at_once(self, service: int, count: int) -> None:
        waiting, chosen = len(self.clinic.waiting(service)), self.clinic.order(service, count)
        asked = [self.next_request(service, counter, False) for counter in range(count)]
        found = self.run(self.together(asked))
        answers = [one for one in found if isinstance(one, Ticket)]
        assert [one for one in found if not isinstance(one, Ticket)] == [EMPTY] * (
            count - min(count, waiting)
        )
        assert len({one.id for one in answers}) == len(answers)
        assert chosen is None or {one.id for one in answers} == chosen
        for counter, one in enumerate(found):
            if isinstance(one, Ticket):
                self.called(one, counter)

    @rule(patients=st.lists(PATIENTS, min_size=2, max_size=8), calls=st.integers(0, 3))
    def take_and_call_at_once(self, patients: list[int], calls: int) -> None:
        asked = [self.take_request(patient, CLINIC) for patient in patients]
        asked += [self.next_request(CLINIC, counter, False) for counter in range(calls)]
        waiting = len(self.clinic.waiting(CLINIC))
        present = [self.clinic.present(CLINIC, self.patients[one]) for one in patients]
        found = self.run(self.together(asked))
        taken = [one for one in found[: len(patients)] if isinstance(one, Ticket)]
        wanted = Counter(
            self.patients[patient]
            for patient, there in zip(patients, present, strict=True)
            if not there
        )
        assert {one.patient_id for one in taken} == set(wanted)
        assert len(taken) == len(wanted)
        assert {one for one in found[: len(patients)] if isinstance(one, tuple)} <= {PRESENT}
        ahead = len(self.clinic.waiting(CLINIC))
        for ticket in sorted(taken, key=lambda one: one.number):
            made = self.clinic.issued(ticket.id, ticket.patient_id, CLINIC, 2)
            assert ticket.number == f"A-{made.sequence:03d}"
            assert ticket.people_ahead < ahead + len(taken)
        called = found[len(patients) :]
        answers = [one for one in called if isinstance(one, Ticket)]
        assert len({one.id for one in answers}) == len(answers) >= min(calls, waiting)
        assert {one for one in called if isinstance(one, tuple)} <= {EMPTY}
        for counter, one in enumerate(called):
            if isinstance(one, Ticket):
                self.called(one, counter)

    @rule(index=ANY)
    def two_changes_at_once(self, index: int) -> None:
        called = self.clinic.those(CALLED)
        if not called:
            return
        one = called[index % len(called)]
        asked: list[Message] = [
            requests.UpdateTicketStatusRequest(
                request_id=uid(),
                id=one.id,
                status=status,  # type: ignore[arg-type]
            )
            for status in (SERVING, CANCELLED)
        ]
        (won,) = [got for got in self.run(self.together(asked)) if isinstance(got, Ticket)]
        self.clinic.moved(one, won.status)

    # What always holds.

    @invariant()
    def the_database_is_what_the_model_says(self) -> None:
        books = ledger.books(self.engine, self.place.facility)
        for book in books:
            ledger.check(book)
        rows = {one.id: (book, one) for book in books for one in book.tickets}
        assert len(rows) == len(self.clinic.tickets)
        for one in self.clinic.tickets:
            book, row = rows[one.id]
            assert book.key == (self.services[one.service], one.day)
            counter = None if row.counter_id is None else self.place.counters.index(row.counter_id)
            if row.status in (WAITING, CALLED, SERVING):
                assert counter == one.counter
            assert (row.sequence, row.patient_id, row.status, row.version, row.priority) == (
                *(one.sequence, one.patient, one.status, one.version, one.priority),
            )
            assert (row.calls, row.queue_time) == (one.calls, one.queue_time)
        for (service, day), queue in self.clinic.queues.items():
            (book,) = [one for one in books if one.key == (self.services[service], day)]
            assert book.queue.revision == queue.changes
        self.events_tell_the_history(books)
        self.sound = True

    def events_tell_the_history(self, books: list[ledger.Book]) -> None:
        """Each change was published once, in the order of its queue."""
        count = sum(len(book.changes) for book in books)
        while len(self.events) < count:
            event = self.run(self.subscription.next(PATIENCE_SECONDS))
            assert event is not None, "an event is missing"
            published = TicketEvent.FromString(event.payload)
            assert event.id == published.id
            self.events.append(published)
            self.seen[TicketEventType.Name(published.type)] += 1
        assert len({one.id for one in self.events}) == count
        for book in books:
            told_of = [one for one in self.events if (one.service_id, one.service_day) == book.key]
            assert [
                (*(one.revision, one.ticket_id, one.version, one.type, one.status, one.priority),
                 *(one.waiting, one.occur_time.ToDatetime(datetime.UTC), one.counter_name))
                for one in told_of
            ] == [
                (*(one.revision, one.ticket_id, one.version, one.act, one.status, one.priority),
                 *(one.waiting, one.time, one.counter_name or ""))
                for one in book.changes
            ]  # fmt: skip


def _bytes(answer: Ticket) -> bytes:
    return answer.SerializeToString(deterministic=True)


REFUSALS = {
    *("ACTIVE_TICKET_EXISTS", "QUEUE_EMPTY", "TRANSITION_NOT_ALLOWED", "REASON_REQUIRED"),
    *("CALLED_BY_OTHER_COUNTER", "RECALL_LIMIT", "SAME_SERVICE", "TICKET_NOT_WAITING"),
    *("PRIORITY_REASON_REQUIRED", "REQUEST_ID_REUSED", "TICKET_NOT_FOUND"),
}


@pytest.mark.deep
def test_any_requests_in_any_order(stage: Stage) -> None:
    class Here(Machine):
        pass

    Here.stage, Here.seen = stage, Counter()
    everything = set(TicketEventType.keys()[1:]) | REFUSALS | set(METHODS.values())
    run_state_machine_as_test(Here, settings=PROFILE)
    # It must have been everywhere. What is tried depends on the modules that are loaded, too.
    for _ in range(MORE):
        if everything <= Here.seen.keys():
            break
        run_state_machine_as_test(Here, settings=settings(PROFILE, derandomize=False))
    assert everything <= Here.seen.keys()

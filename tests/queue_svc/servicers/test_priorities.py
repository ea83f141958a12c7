"""Which priority a patient gets and why, and what staff may change about it."""

from __future__ import annotations

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mediq.institution.v1.institution_pb2 import PriorityRule
from mediq.institution.v1.institution_pb2 import PriorityRules as RulesMessage
from mediq.queue.v1 import ticket_service_pb2 as requests
from mediq.queue.v1.queue_pb2 import Priority as PriorityMessage
from mediq.queue.v1.queue_pb2 import PriorityGround, Ticket, TicketStatus

from mesh.contract.status import from_rpc_error
from queue_svc.domain.rules import ELDERLY_AGE, PriorityRules
from queue_svc.domain.states import Priority, PriorityReason
from tests.queue_svc.conftest import (
    CALLED,
    CANCELLED,
    DONE,
    HIGH,
    LOW,
    NO_SHOW,
    NORMAL,
    SERVING,
    SKIPPED,
    URGENT,
    Metadata,
    World,
    uid,
)
from tests.support.mesh import problem

NONE, ELDERLY, PREGNANT, DISABLED, REFERRAL, STAFF = (
    PriorityGround.ValueType(number) for number in range(6)
)
SEEN = [
    PriorityReason.ELDERLY,
    PriorityReason.PREGNANT,
    PriorityReason.DISABLED,
    PriorityReason.REFERRAL,
]
"""What may be seen of a patient."""


async def create(world: World, metadata: Metadata | None = None, **fields: object) -> Ticket:
    """A ticket; made at the counter unless somebody else asks."""
    return await world.stub.CreateTicket(
        requests.CreateTicketRequest(
            institution_id=world.place.facility,
            service_id=world.place.service,
            **fields,  # type: ignore[arg-type]
        ),
        metadata=metadata or world.operator,
    )


async def issue(world: World, age_years: int) -> Ticket:
    """The ticket of a registration."""
    return await world.internal.IssueTicket(
        requests.IssueTicketRequest(
            request_id=uid(),
            institution_id=world.place.facility,
            service_id=world.place.service,
            patient_id=uid(),
            age_years=age_years,
        )
    )


async def set_class(
    world: World,
    ticket: Ticket,
    priority: PriorityMessage.ValueType,
    reason: str = "",
    request_id: str = "",
) -> Ticket:
    return await world.stub.SetTicketPriority(
        requests.SetTicketPriorityRequest(
            request_id=request_id, id=ticket.id, priority=priority, reason=reason
        ),
        metadata=world.operator,
    )


def prefer(world: World, elderly_age: int, **priorities: PriorityMessage.ValueType) -> None:
    """Sets the facility's rules, by reason."""
    facts = world.facilities.facts[world.place.facility]
    facts.institution.priority_rules.CopyFrom(
        RulesMessage(
            elderly_age=elderly_age,
            rules=[
                PriorityRule(
                    ground=PriorityGround.Value(f"PRIORITY_GROUND_{name}"), priority=priority
                )
                for name, priority in priorities.items()
            ],
        )
    )


class TestRulesOfTheFacility:
    @pytest.mark.parametrize(
        ("age", "expected"),
        [(0, (NORMAL, NONE)), (59, (NORMAL, NONE)), (60, (HIGH, ELDERLY)), (99, (HIGH, ELDERLY))],
    )
    async def test_an_age_on_the_card(
        self,
        world: World,
        age: int,
        expected: tuple[PriorityMessage.ValueType, PriorityGround.ValueType],
    ) -> None:
        ticket = await issue(world, age)
        assert (ticket.priority, ticket.priority_ground) == expected
        again = await world.get(ticket)
        assert (again.priority, again.priority_ground) == expected

    @pytest.mark.parametrize("ground", [ELDERLY, PREGNANT, DISABLED, REFERRAL])
    async def test_a_ground_that_staff_see(
        self, world: World, ground: PriorityGround.ValueType
    ) -> None:
        ticket = await create(world, patient_id=uid(), priority_grounds=[ground])
        assert (ticket.priority, ticket.priority_ground) == (HIGH, ground)

    async def test_of_several_grounds_the_first_one_is_told(self, world: World) -> None:
        ticket = await create(world, patient_id=uid(), priority_grounds=[DISABLED, PREGNANT])
        assert (ticket.priority, ticket.priority_ground) == (HIGH, PREGNANT)

    async def test_nothing_seen_is_the_usual_class(self, world: World) -> None:
        ticket = await create(world, patient_id=uid())
        assert (ticket.priority, ticket.priority_ground) == (NORMAL, NONE)
        own = await create(world, world.patient(uid()))
        assert (own.priority, own.priority_ground) == (NORMAL, NONE)

    async def test_a_facility_prefers_whom_it_wants(self, world: World) -> None:
        prefer(world, 70, ELDERLY=HIGH, DISABLED=NORMAL)
        found = [await issue(world, age) for age in (60, 69, 70)]
        assert [one.priority for one in found] == [NORMAL, NORMAL, HIGH]
        assert [one.priority_ground for one in found] == [NONE, NONE, ELDERLY]
        pregnant = await create(world, patient_id=uid(), priority_grounds=[PREGNANT])
        assert (pregnant.priority, pregnant.priority_ground) == (NORMAL, NONE)
        disabled = await create(world, patient_id=uid(), priority_grounds=[DISABLED])
        assert (disabled.priority, disabled.priority_ground) == (NORMAL, DISABLED)
        both = await create(world, patient_id=uid(), priority_grounds=[DISABLED, ELDERLY])
        assert (both.priority, both.priority_ground) == (HIGH, ELDERLY)

    async def test_a_facility_that_prefers_nobody(self, world: World) -> None:
        prefer(world, 0)
        assert (await issue(world, 80)).priority == NORMAL
        seen = [ELDERLY, PREGNANT, DISABLED, REFERRAL]
        ticket = await create(world, patient_id=uid(), priority_grounds=seen)
        assert (ticket.priority, ticket.priority_ground) == (NORMAL, NONE)

    async def test_an_age_of_zero_in_the_rules_is_the_usual_one(self, world: World) -> None:
        prefer(world, 0, ELDERLY=HIGH)
        assert [(await issue(world, age)).priority for age in (0, 59, 60)] == [NORMAL, NORMAL, HIGH]

    async def test_staff_know_better_than_the_rules(self, world: World) -> None:
        for priority in (LOW, NORMAL, HIGH):
            ticket = await create(
                world, patient_id=uid(), priority=priority, priority_grounds=[PREGNANT]
            )
            assert (ticket.priority, ticket.priority_ground) == (priority, STAFF)

    async def test_urgent_needs_a_reason(self, world: World) -> None:
        for reason in ("", "  "):
            call = create(world, patient_id=uid(), priority=URGENT, priority_reason=reason)
            assert await problem(call) == ("INVALID_ARGUMENT", "PRIORITY_REASON_REQUIRED")
        ticket = await create(world, patient_id=uid(), priority=URGENT, priority_reason="sesak")
        assert (ticket.priority, ticket.priority_ground) == (URGENT, STAFF)

    async def test_patients_name_no_ground(self, world: World) -> None:
        for metadata in (world.patient(uid()), world.patient(uid())):
            call = create(world, metadata, priority_grounds=[PREGNANT])
            assert await problem(call) == ("PERMISSION_DENIED", "PRIORITY_STAFF_ONLY")

    @pytest.mark.parametrize("grounds", [[NONE], [STAFF], [PREGNANT, PREGNANT], [17]])
    async def test_grounds_that_nobody_can_see(self, world: World, grounds: list[int]) -> None:
        call = create(world, patient_id=uid(), priority_grounds=grounds)
        assert await problem(call) == ("INVALID_ARGUMENT", "INVALID_REQUEST")

    async def test_who_is_preferred_is_called_sooner(self, world: World) -> None:
        await issue(world, 30)
        world.clock.forward(seconds=30)
        await issue(world, 75)
        world.clock.forward(minutes=10)
        assert await world.upcoming() == ["A-002", "A-001"]


class TestSetTicketPriority:
    async def test_the_order_changes_and_the_time_of_waiting_stays(self, world: World) -> None:
        tickets = []
        for _ in range(4):
            tickets.append(await world.take())
            world.clock.forward(minutes=1)
        world.clock.forward(minutes=20)
        raised = await set_class(world, tickets[2], HIGH)
        assert (raised.priority, raised.priority_ground, raised.version) == (HIGH, STAFF, 2)
        assert (raised.create_time, raised.people_ahead) == (tickets[2].create_time, 0)
        # With its 22 minutes at the double rate it goes before those who came first.
        assert await world.upcoming() == ["A-003", "A-001", "A-002", "A-004"]
        again = await set_class(world, tickets[2], NORMAL)
        assert (again.version, again.people_ahead) == (3, 2)
        assert await world.upcoming() == ["A-001", "A-002", "A-003", "A-004"]
        low = await set_class(world, tickets[0], LOW)
        assert low.people_ahead == 3
        assert (await world.next()).number == "A-002"

    async def test_urgent_goes_first_with_a_reason(self, world: World) -> None:
        await world.take()
        ticket = await world.take()
        for reason in ("", " \t"):
            call = set_class(world, ticket, URGENT, reason)
            assert await problem(call) == ("INVALID_ARGUMENT", "PRIORITY_REASON_REQUIRED")
        assert await world.get(ticket) == ticket
        urgent = await set_class(world, ticket, URGENT, "kejang")
        assert (urgent.priority, urgent.people_ahead) == (URGENT, 0)
        assert (await world.next()).id == ticket.id

    @pytest.mark.parametrize(
        "steps",
        [
            [CALLED],
            [CALLED, SERVING],
            [CALLED, SKIPPED],
            [CALLED, NO_SHOW],
            [CALLED, SERVING, DONE],
            [CANCELLED],
        ],
    )
    async def test_only_who_waits_has_a_place_to_change(
        self, world: World, steps: list[TicketStatus.ValueType]
    ) -> None:
        ticket = await world.take()
        for step in steps:
            await (world.call(ticket) if step == CALLED else world.move(ticket, step))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await set_class(world, ticket, HIGH)
        error = from_rpc_error(caught.value)
        state = TicketStatus.Name(steps[-1]).removeprefix("TICKET_STATUS_")
        assert (error.kind.value, error.reason) == ("FAILED_PRECONDITION", "TICKET_NOT_WAITING")
        assert error.metadata == {"from": state}

    async def test_the_class_stays_with_a_call_that_is_taken_back(self, world: World) -> None:
        ticket = await world.take()
        await set_class(world, ticket, HIGH)
        await world.call(ticket)
        back = await world.move(ticket, TicketStatus.TICKET_STATUS_WAITING, "salah tekan")
        assert (back.priority, back.priority_ground) == (HIGH, STAFF)

    async def test_a_repeated_request_changes_once(self, world: World) -> None:
        ticket, key = await world.take(), uid()
        first = await set_class(world, ticket, HIGH, request_id=key)
        assert await set_class(world, ticket, HIGH, request_id=key) == first
        assert (await world.get(ticket)).version == 2
        call = set_class(world, ticket, LOW, request_id=key)
        assert await problem(call) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")

    async def test_only_staff_of_the_facility_may(self, world: World) -> None:
        patient = uid()
        ticket = await world.take(patient=patient)
        request = requests.SetTicketPriorityRequest(id=ticket.id, priority=HIGH)
        other = world.operator_of(world.facilities.open())
        call = world.stub.SetTicketPriority(request, metadata=other)
        assert await problem(call) == ("NOT_FOUND", "TICKET_NOT_FOUND")
        for metadata in (world.patient(patient), world.session(patient)):
            call = world.stub.SetTicketPriority(request, metadata=metadata)
            assert await problem(call) == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")

    async def test_a_class_must_be_named(self, world: World) -> None:
        ticket = await world.take()
        for priority in (PriorityMessage.PRIORITY_UNSPECIFIED, PriorityMessage.ValueType(9)):
            call = set_class(world, ticket, priority)
            assert await problem(call) == ("INVALID_ARGUMENT", "INVALID_REQUEST")


class TestPriorityRules:
    """The rules themselves."""

    def test_the_usual_rules(self) -> None:
        rules = PriorityRules()
        assert rules.choose(0, ()) == (Priority.NORMAL, PriorityReason.NONE)
        assert rules.choose(ELDERLY_AGE - 1, ()) == (Priority.NORMAL, PriorityReason.NONE)
        assert rules.choose(ELDERLY_AGE, ()) == (Priority.HIGH, PriorityReason.ELDERLY)
        for reason in SEEN:
            assert rules.choose(0, [reason]) == (Priority.HIGH, reason)

    def test_an_unknown_age_is_not_old(self) -> None:
        assert PriorityRules(elderly_age=1).choose(0, ()) == (Priority.NORMAL, PriorityReason.NONE)

    @given(
        st.integers(0, 150),
        st.lists(st.sampled_from(SEEN), unique=True),
        st.dictionaries(st.sampled_from(SEEN), st.sampled_from([Priority.NORMAL, Priority.HIGH])),
    )
    def test_the_highest_class_wins_and_its_ground_holds(
        self, age: int, seen: list[PriorityReason], priorities: dict[PriorityReason, Priority]
    ) -> None:
        priority, reason = PriorityRules(60, priorities).choose(age, seen)
        held = {*seen, *([PriorityReason.ELDERLY] if age >= 60 else [])} & set(priorities)
        if not held:
            assert (priority, reason) == (Priority.NORMAL, PriorityReason.NONE)
            return
        assert reason in held
        assert priority == priorities[reason] == max(priorities[one] for one in held)
        assert PriorityRules(60, priorities).choose(age, seen[::-1]) == (priority, reason)

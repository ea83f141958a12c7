from mediq.policy.v1.policy_pb2 import Role
from mediq.queue.v1 import queue_service_pb2 as requests

from tests.queue_svc.conftest import (
    CALLED,
    CANCELLED,
    DONE,
    HIGH,
    LOW,
    NO_SHOW,
    SERVING,
    SKIPPED,
    URGENT,
    WAITING,
    World,
    uid,
    world_of,
)
from tests.support.mesh import Mesh, problem


def issue(world: World, **changes: str) -> requests.IssueTicketRequest:
    fields = {
        "request_id": uid(),
        "institution_id": world.place.facility,
        "service_id": world.place.service,
        "patient_id": uid(),
        **changes,
    }
    return requests.IssueTicketRequest(**fields)


class TestIssue:
    async def test_numbers_count_up_and_positions_follow(self, world: World) -> None:
        tickets = [await world.take() for _ in range(3)]
        assert [one.number for one in tickets] == ["A-001", "A-002", "A-003"]
        assert [one.people_ahead for one in tickets] == [0, 1, 2]
        assert tickets[0].estimated_wait.seconds == 0
        assert tickets[2].estimated_wait.seconds > tickets[1].estimated_wait.seconds > 0
        assert tickets[0].institution_name == "RSUD Contoh"
        assert tickets[0].service_day == "2026-03-02"

    async def test_facilities_count_on_their_own(self, world: World) -> None:
        other = world.facilities.open()
        assert (await world.take()).number == "A-001"
        assert (await world.take(place=other)).number == "A-001"

    async def test_numbers_begin_anew_at_the_facilitys_midnight(self, world: World) -> None:
        await world.take()
        world.clock.forward(hours=14, minutes=59)
        assert (await world.take()).number == "A-002"
        world.clock.forward(minutes=2)
        ticket = await world.take()
        assert (ticket.number, ticket.service_day) == ("A-001", "2026-03-03")

    async def test_saga_gets_the_same_ticket_for_the_same_key(self, world: World) -> None:
        request = issue(world)
        first = await world.internal.IssueTicket(request)
        assert (await world.internal.IssueTicket(request)).id == first.id
        request.patient_id = uid()
        call = world.internal.IssueTicket(request)
        assert await problem(call) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")

    async def test_one_open_ticket_a_patient_service_and_day(self, world: World) -> None:
        patient = uid()
        first = await world.take(patient=patient)
        call = world.take(patient=patient)
        assert await problem(call) == ("ALREADY_EXISTS", "ACTIVE_TICKET_EXISTS")
        await world.move(first, CANCELLED, "pulang")
        assert (await world.take(patient=patient)).number == "A-002"

    async def test_refused_ticket_leaves_no_gap(self, world: World) -> None:
        patient = uid()
        await world.take(patient=patient)
        await problem(world.take(patient=patient))
        assert (await world.take()).number == "A-002"

    async def test_patients_do_not_choose_priority_or_person(self, world: World) -> None:
        me = world.patient(uid())
        request = requests.CreateTicketRequest(
            institution_id=world.place.facility, service_id=world.place.service, priority=HIGH
        )
        code, _ = await problem(world.stub.CreateTicket(request, metadata=me))
        assert code == "PERMISSION_DENIED"
        request.priority = 0  # type: ignore[assignment]
        request.patient_id = uid()
        code, _ = await problem(world.stub.CreateTicket(request, metadata=me))
        assert code == "PERMISSION_DENIED"
        request.patient_id = ""
        assert (await world.stub.CreateTicket(request, metadata=me)).number == "A-001"

    async def test_urgent_needs_a_reason(self, world: World) -> None:
        request = requests.CreateTicketRequest(
            institution_id=world.place.facility,
            service_id=world.place.service,
            patient_id=uid(),
            priority=URGENT,
        )
        code, _ = await problem(world.stub.CreateTicket(request, metadata=world.operator))
        assert code == "INVALID_ARGUMENT"

    async def test_unknown_facility_and_service(self, world: World) -> None:
        code, _ = await problem(world.internal.IssueTicket(issue(world, institution_id=uid())))
        assert code == "NOT_FOUND"
        code, _ = await problem(world.internal.IssueTicket(issue(world, service_id=uid())))
        assert code == "NOT_FOUND"


class TestFacts:
    async def test_known_facts_serve_while_institution_svc_is_down(
        self, mesh: Mesh, database_url: str
    ) -> None:
        async with world_of(mesh, database_url, facts_seconds=0) as world:
            await world.take()
            world.facilities.down = True
            assert (await world.take()).number == "A-002"

    async def test_unknown_facts_are_an_honest_error(self, mesh: Mesh, database_url: str) -> None:
        async with world_of(mesh, database_url) as world:
            world.facilities.down = True
            code, reason = await problem(world.take())
            assert (code, reason) == ("UNAVAILABLE", "INSTITUTION_SVC_UNAVAILABLE")


class TestCalls:
    async def test_next_is_the_longest_waiting(self, world: World) -> None:
        first, second = await world.take(), await world.take()
        called = await world.next(1)
        assert (called.id, called.status) == (first.id, CALLED)
        assert called.counter_name == "Loket 2"
        assert (await world.next()).id == second.id
        assert await problem(world.next()) == ("NOT_FOUND", "QUEUE_EMPTY")

    async def test_urgent_first_low_last(self, world: World) -> None:
        low = await world.take(LOW)
        normal = await world.take()
        high = await world.take(HIGH)
        urgent = await world.take(URGENT)
        world.clock.forward(minutes=1)
        order = [(await world.next()).id for _ in range(4)]
        assert order == [urgent.id, high.id, normal.id, low.id]

    async def test_peek_claims_nothing(self, world: World) -> None:
        ticket = await world.take()
        request = requests.PeekNextTicketRequest(
            institution_id=world.place.facility, service_id=world.place.service
        )
        for _ in range(2):
            seen = await world.stub.PeekNextTicket(request, metadata=world.operator)
            assert (seen.id, seen.status) == (ticket.id, WAITING)

    async def test_the_same_request_calls_one_patient(self, world: World) -> None:
        await world.take()
        await world.take()
        key = uid()
        first = await world.next(request_id=key)
        assert (await world.next(request_id=key)).id == first.id
        assert len(await world.upcoming()) == 1

    async def test_recalls_end(self, world: World) -> None:
        ticket = await world.take()
        await world.next()
        for _ in range(3):
            await world.call(ticket)
        code, _ = await problem(world.call(ticket))
        assert code == "FAILED_PRECONDITION"

    async def test_counter_of_another_facility(self, world: World) -> None:
        await world.take()
        world.place.counters[0] = uid()
        code, reason = await problem(world.next())
        assert (code, reason) == ("NOT_FOUND", "COUNTER_NOT_FOUND")
        assert len(await world.upcoming()) == 1


class TestTransitions:
    async def test_the_usual_day(self, world: World) -> None:
        ticket = await world.take()
        await world.next()
        world.clock.forward(minutes=1)
        assert (await world.move(ticket, SERVING)).status == SERVING
        world.clock.forward(minutes=9)
        done = await world.move(ticket, DONE)
        assert done.status == DONE
        assert done.close_time.seconds - done.serve_time.seconds == 540
        assert done.version > ticket.version

    async def test_skipped_comes_back_some_places_later(self, world: World) -> None:
        tickets = []
        for _ in range(6):
            tickets.append(await world.take())
            world.clock.forward(minutes=1)
        await world.next()
        await world.move(tickets[0], SKIPPED)
        await world.move(tickets[0], WAITING)
        assert (await world.upcoming()).index("A-001") == 3

    async def test_skipped_and_gone(self, world: World) -> None:
        ticket = await world.take()
        await world.next()
        await world.move(ticket, SKIPPED)
        assert (await world.move(ticket, NO_SHOW)).status == NO_SHOW

    async def test_undo_needs_a_reason(self, world: World) -> None:
        ticket = await world.take()
        await world.next()
        code, _ = await problem(world.move(ticket, WAITING))
        assert code in ("INVALID_ARGUMENT", "FAILED_PRECONDITION")
        assert (await world.move(ticket, WAITING, "salah tekan")).status == WAITING

    async def test_other_transitions_are_refused(self, world: World) -> None:
        ticket = await world.take()
        for status in (SERVING, DONE, SKIPPED, NO_SHOW):
            code, reason = await problem(world.move(ticket, status, "x"))
            assert (code, reason) == ("FAILED_PRECONDITION", "TRANSITION_NOT_ALLOWED")
        assert (await world.get(ticket)).version == ticket.version

    async def test_a_closed_ticket_stays_closed(self, world: World) -> None:
        ticket = await world.take()
        await world.move(ticket, CANCELLED, "pulang")
        for status in (WAITING, SERVING, DONE):
            code, _ = await problem(world.move(ticket, status, "x"))
            assert code == "FAILED_PRECONDITION"

    async def test_clock_that_jumps_back(self, world: World) -> None:
        ticket = await world.take()
        world.clock.forward(minutes=5)
        called = await world.next()
        world.clock.forward(minutes=-10)
        serving = await world.move(ticket, SERVING)
        assert serving.serve_time.ToNanoseconds() >= called.call_time.ToNanoseconds()


class TestWhoSeesWhat:
    async def test_patient_sees_and_cancels_only_the_own_ticket(self, world: World) -> None:
        me = uid()
        ticket = await world.take(patient=me)
        request = requests.GetTicketRequest(id=ticket.id)
        for own in (world.patient(me), world.session(me)):
            assert (await world.stub.GetTicket(request, metadata=own)).id == ticket.id
            mine = await world.stub.ListMyTickets(requests.ListMyTicketsRequest(), metadata=own)
            assert [one.id for one in mine.tickets] == [ticket.id]
        for other in (world.patient(uid()), world.session(uid())):
            call = world.stub.GetTicket(request, metadata=other)
            assert (await problem(call))[0] == "NOT_FOUND"
            position = requests.GetTicketPositionRequest(id=ticket.id)
            call_two = world.stub.GetTicketPosition(position, metadata=other)
            assert (await problem(call_two))[0] == "NOT_FOUND"
            cancel = requests.CancelTicketRequest(id=ticket.id)
            call_three = world.stub.CancelTicket(cancel, metadata=other)
            assert (await problem(call_three))[0] == "NOT_FOUND"
        cancelled = await world.stub.CancelTicket(
            requests.CancelTicketRequest(id=ticket.id), metadata=world.session(me)
        )
        assert cancelled.status == CANCELLED

    async def test_staff_of_another_facility(self, world: World) -> None:
        ticket = await world.take()
        other = world.operator_of(world.facilities.open())
        call = world.stub.GetTicket(requests.GetTicketRequest(id=ticket.id), metadata=other)
        assert (await problem(call))[0] == "NOT_FOUND"
        move = requests.UpdateTicketStatusRequest(id=ticket.id, status=CANCELLED, reason="x")
        moving = world.stub.UpdateTicketStatus(move, metadata=other)
        assert (await problem(moving))[0] == "NOT_FOUND"
        listing = requests.ListTicketsRequest(institution_id=world.place.facility)
        call_two = world.stub.ListTickets(listing, metadata=other)
        assert await problem(call_two) == ("PERMISSION_DENIED", "OTHER_INSTITUTION")

    async def test_network_administrator_sees_all(self, world: World) -> None:
        ticket = await world.take()
        admin = world.mesh.token(Role.ROLE_ADMIN_FASKES)
        request = requests.GetTicketRequest(id=ticket.id)
        assert (await world.stub.GetTicket(request, metadata=admin)).id == ticket.id


class TestNumbers:
    async def test_stats_now_daily_weekly(self, world: World) -> None:
        first, second = await world.take(), await world.take()
        await world.take()
        world.clock.forward(minutes=10)
        await world.next()
        await world.move(first, SERVING)
        world.clock.forward(minutes=5)
        await world.move(first, DONE)
        await world.move(second, CANCELLED, "pulang")
        where = world.place.facility
        now = await world.stub.GetQueueStats(
            requests.GetQueueStatsRequest(institution_id=where), metadata=world.operator
        )
        assert (now.issued, now.waiting, now.done, now.cancelled) == (3, 1, 1, 1)
        assert now.mean_wait.seconds == 600
        assert [one.waiting for one in now.services] == [1]
        day = await world.stub.GetDailyStats(
            requests.GetDailyStatsRequest(institution_id=where), metadata=world.operator
        )
        assert (day.day, day.issued, day.mean_service.seconds) == ("2026-03-02", 3, 300)
        week = await world.stub.GetWeeklyStats(
            requests.GetWeeklyStatsRequest(institution_id=where), metadata=world.operator
        )
        assert [one.day for one in week.days][::6] == ["2026-02-24", "2026-03-02"]
        assert [one.issued for one in week.days] == [0] * 6 + [3]

    async def test_a_day_that_does_not_exist(self, world: World) -> None:
        request = requests.GetDailyStatsRequest(
            institution_id=world.place.facility, day="2026-02-31"
        )
        code, _ = await problem(world.stub.GetDailyStats(request, metadata=world.operator))
        assert code == "INVALID_ARGUMENT"

    async def test_pages_show_every_ticket_once(self, world: World) -> None:
        made = [(await world.take()).id for _ in range(5)]
        seen: list[str] = []
        token = ""
        while True:
            page = await world.stub.ListTickets(
                requests.ListTicketsRequest(
                    institution_id=world.place.facility, page_size=2, page_token=token
                ),
                metadata=world.operator,
            )
            seen += [one.id for one in page.tickets]
            token = page.next_page_token
            if not token:
                break
        assert seen == made

    async def test_last_called_number(self, world: World) -> None:
        await world.take()
        ticket = await world.take()
        await world.next()
        position = await world.stub.GetTicketPosition(
            requests.GetTicketPositionRequest(id=ticket.id), metadata=world.operator
        )
        assert (position.people_ahead, position.last_called_number) == (0, "A-001")
        current = await world.stub.ListCurrentTickets(
            requests.ListCurrentTicketsRequest(institution_id=world.place.facility),
            metadata=world.operator,
        )
        assert [one.number for one in current.tickets] == ["A-001"]

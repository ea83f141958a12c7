from mediq.queue.v1 import report_service_pb2 as report_requests
from mediq.queue.v1 import ticket_service_pb2 as ticket_requests

from tests.queue_svc.conftest import CANCELLED, DONE, SERVING, World
from tests.support.mesh import problem


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
            report_requests.GetQueueStatsRequest(institution_id=where), metadata=world.operator
        )
        assert (now.issued, now.waiting, now.done, now.cancelled) == (3, 1, 1, 1)
        assert now.mean_wait.seconds == 600
        assert [one.waiting for one in now.services] == [1]
        day = await world.stub.GetDailyStats(
            report_requests.GetDailyStatsRequest(institution_id=where), metadata=world.operator
        )
        assert (day.day, day.issued, day.mean_service.seconds) == ("2026-03-02", 3, 300)
        week = await world.stub.GetWeeklyStats(
            report_requests.GetWeeklyStatsRequest(institution_id=where), metadata=world.operator
        )
        assert [one.day for one in week.days][::6] == ["2026-02-24", "2026-03-02"]
        assert [one.issued for one in week.days] == [0] * 6 + [3]

    async def test_a_day_that_does_not_exist(self, world: World) -> None:
        request = report_requests.GetDailyStatsRequest(
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
                ticket_requests.ListTicketsRequest(
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
            ticket_requests.GetTicketPositionRequest(id=ticket.id), metadata=world.operator
        )
        assert (position.people_ahead, position.last_called_number) == (0, "A-001")
        current = await world.stub.ListCurrentTickets(
            ticket_requests.ListCurrentTicketsRequest(institution_id=world.place.facility),
            metadata=world.operator,
        )
        assert [one.number for one in current.tickets] == ["A-001"]

"""What live streams read: what was missed, and the state of boards and counters."""

import datetime
from collections.abc import Mapping, Sequence

from mediq.queue.v1.live_service_pb2 import CounterState, WatchQueueResponse

from queue_svc.application.facility_directory import Facility
from queue_svc.application.ticket_reads import describe_tickets
from queue_svc.domain.states import Status
from queue_svc.domain.tickets import ChangeLogEntry
from queue_svc.messages.boards import board_message
from queue_svc.persistence.facility_queries import FacilityQueries
from queue_svc.persistence.ticket_queries import TicketQueries
from queue_svc.streaming.change_feed import cursor_of

MISSED = 1000
"""Changes that are sent one by one after a reconnect; who missed more gets the whole again."""
TRIES = 5
"""Reads of a board between which something changed, before the last one is shown all the same."""
ROWS = 20
"""Tickets that a counter's stream lists."""


def query_missed(
    queries: FacilityQueries, institution_id: str, days: Sequence[str], seen: Mapping[int, int]
) -> list[ChangeLogEntry] | None:
    """Reads what happened after a cursor; None when it cannot be told from there."""
    revisions = queries.revisions(institution_id, days)
    known = {queue_id: seen.get(queue_id, 0) for queue_id in revisions}
    if not set(seen) <= set(revisions):
        return None
    if any(known[queue_id] > revision for queue_id, revision in revisions.items()):
        return None
    if sum(revisions.values()) - sum(known.values()) > MISSED:
        return None
    return queries.entries(known, 2 * MISSED)


def query_board_state(
    queries: FacilityQueries,
    facility: Facility,
    days: Sequence[str],
    service_id: str,
    now: datetime.datetime,
) -> tuple[WatchQueueResponse, dict[int, int]]:
    """Reads the board of a facility and the revisions at which it is right."""
    institution_id = facility.institution_id
    for _ in range(TRIES):
        services, shown = queries.board(institution_id, days, service_id)
        every = queries.revisions(institution_id, days)
        mine = queries.revisions(institution_id, days, service_id)
        if mine == shown:
            break
    board = board_message(institution_id, facility.name, facility.time_zone, services, now)
    # A queue that began meanwhile is not shown: its events are still to be told.
    others = {one: revision for one, revision in every.items() if one not in mine}
    seen = others | shown
    return WatchQueueResponse(board=board, cursor=cursor_of(seen)), seen


def query_counter_state(
    queries: TicketQueries,
    institution_id: str,
    service_id: str,
    counter_id: str,
    days: Sequence[str],
    now: datetime.datetime,
) -> CounterState:
    """Reads what an operator sees at a counter."""
    waiting = queries.listed(institution_id, service_id, days, Status.WAITING, now)
    held = queries.by_ids(queries.current(institution_id, service_id, days))
    current = [one for one in held if one.counter and one.counter.id == counter_id]
    skipped = queries.skipped(institution_id, service_id, days)[:ROWS]
    return CounterState(
        counter_id=counter_id,
        current=describe_tickets(queries, current, now),
        next=describe_tickets(queries, queries.by_ids(waiting[:ROWS]), now),
        skipped=describe_tickets(queries, queries.by_ids(skipped), now),
        waiting=len(waiting),
    )

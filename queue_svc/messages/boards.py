"""Boards as messages."""

import datetime
from collections.abc import Sequence

from mediq.queue.v1 import live_service_pb2 as requests
from mediq.queue.v1 import queue_pb2 as messages

from mesh.clock import timestamp
from queue_svc.domain.boards import Called, ServiceBoard


def _call_message(call: Called) -> requests.BoardCall:
    return requests.BoardCall(
        ticket_id=call.ticket_id,
        number=call.number,
        counter_name=call.counter_name,
        status=messages.TicketStatus.ValueType(call.status),
        call_time=timestamp(call.call_time),
        calls=call.calls,
    )


def board_message(
    institution_id: str,
    name: str,
    time_zone: str,
    services: Sequence[ServiceBoard],
    now: datetime.datetime,
) -> requests.Board:
    """Returns what a board shows."""
    return requests.Board(
        institution_id=institution_id,
        institution_name=name,
        time_zone=time_zone,
        create_time=timestamp(now),
        services=[
            requests.BoardService(
                service_id=one.queues[-1].service.service_id,
                service_name=one.queues[-1].service.service_name,
                waiting=sum(queue.waiting for queue in one.queues),
                current=[_call_message(call) for call in one.current],
                last_calls=[_call_message(call) for call in one.earlier],
            )
            for one in services
        ],
    )

"""The feed of ticket events: where they go, and the words of their routing keys."""

from mediq.queue.v1.event_pb2 import TicketEvent, TicketEventType

from mesh.messaging.events import Feed

FEED = Feed("mediq.queue.events", "/mediq/queue_svc", TicketEvent.DESCRIPTOR.full_name)
"""Events of tickets on their way to other processes."""
_PREFIX = "TICKET_EVENT_TYPE_"


def event_name(kind: TicketEventType.ValueType) -> str:
    """Returns the last word of the routing key of a kind of event, such as no_show.

    Raises:
        ValueError: The contract has no such kind.
    """
    return TicketEventType.Name(kind).removeprefix(_PREFIX).lower()


def event_names() -> list[str]:
    """Returns the words of all kinds of events, in the order of the contract."""
    return [event_name(kind) for kind in TicketEventType.values() if kind]


def routing_key(event: TicketEvent) -> str:
    """Returns the routing key of an event: institution.service.word."""
    return f"{event.institution_id}.{event.service_id}.{event_name(event.type)}"

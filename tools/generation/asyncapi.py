"""AsyncAPI 3.0 of the ticket events: `python -m tools.generation.asyncapi` prints it."""

import json

from mediq.queue.v1.event_pb2 import TicketEvent, TicketEventType

from mesh.messaging.rabbit import CONTENT_TYPE, TYPE_URL, type_of
from queue_svc.messages.routing_keys import FEED, event_name, event_names
from tools.generation.openapi_schemas import Components, Schema, comments

ADDRESS = "{institutionId}.{serviceId}.{event}"
BINDING = "0.3.0"
"""Version of AsyncAPI's AMQP binding."""
DESCRIPTION = """What happens to the tickets of every facility, for boards, apps and reports.

- An event is written in the transaction of its change and published afterwards: at least once.
  Drop what you have seen by its `id`.
- Events of one service and day have `revision` 1, 2, 3, ... without gap, and come in that order. A
  jump says that something was missed.
- Nothing in an event is personal data. Read the ticket by its `ticketId` where you may.
- The body is a protobuf message; the schema here is its JSON form.
"""


def _parameters() -> Schema:
    event = TicketEventType.DESCRIPTOR.full_name
    texts = [
        f"{event_name(kind)}: {comments()[f'{event}.{TicketEventType.Name(kind)}']}"
        for kind in TicketEventType.values()
        if kind
    ]
    return {
        "institutionId": {"description": "Facility, a UUID."},
        "serviceId": {"description": "Service of the facility, a UUID."},
        "event": {"description": "What happened. " + " ".join(texts), "enum": event_names()},
    }


def _headers() -> Schema:
    """Returns the attributes of CloudEvents 1.0, as its AMQP binding names them."""
    fixed: dict[str, tuple[str, Schema]] = {
        "specversion": ("Version of CloudEvents.", {"const": "1.0"}),
        "id": ("Identifier of the event, the same as in the body.", {"format": "uuid"}),
        "source": ("Who sends.", {"const": FEED.source}),
        "type": ("What happened.", {"enum": [type_of(FEED, word) for word in event_names()]}),
        "subject": ("The queue: institutionId.serviceId.", {}),
        "time": ("When the event was made.", {"format": "date-time"}),
        "dataschema": ("Type of the body.", {"const": f"{TYPE_URL}{FEED.message}"}),
    }
    return {
        "type": "object",
        "properties": {
            f"cloudEvents_{name}": {"description": text, "type": "string", **rule}
            for name, (text, rule) in fixed.items()
        },
        "required": [f"cloudEvents_{name}" for name in fixed],
    }


def _message(components: Components) -> Schema:
    """Returns the message of an event; the schemas that it refers to go into `components`."""
    return {
        "name": FEED.message,
        "title": TicketEvent.DESCRIPTOR.name,
        "summary": comments()[FEED.message],
        "contentType": CONTENT_TYPE,
        "headers": _headers(),
        "payload": components.reference(TicketEvent.DESCRIPTOR),
        "bindings": {"amqp": {"messageType": FEED.message, "bindingVersion": BINDING}},
    }


def document() -> Schema:
    """Returns the AsyncAPI document as a value."""
    components = Components()
    name = TicketEvent.DESCRIPTOR.name
    exchange = {"name": FEED.exchange, "type": "topic", "durable": True, "autoDelete": False}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "MediQ mesh: ticket events",
            "version": "v1",
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {
            "ticketEvents": {
                "address": ADDRESS,
                "description": "Routing keys of the topic exchange. Bind a queue of your own with "
                "a pattern: * is one word, # any number.",
                "parameters": _parameters(),
                "messages": {name: {"$ref": f"#/components/messages/{name}"}},
                "bindings": {
                    "amqp": {
                        "is": "routingKey",
                        "exchange": exchange,
                        "bindingVersion": BINDING,
                    }
                },
            }
        },
        "operations": {
            "publishTicketEvents": {
                "action": "send",
                "summary": "queue_svc publishes every change of a ticket.",
                "channel": {"$ref": "#/channels/ticketEvents"},
                "messages": [{"$ref": f"#/channels/ticketEvents/messages/{name}"}],
                "bindings": {
                    "amqp": {"deliveryMode": 2, "mandatory": True, "bindingVersion": BINDING}
                },
            }
        },
        "components": {
            "messages": {name: _message(components)},
            "schemas": dict(sorted(components.schemas.items())),
        },
    }


def render() -> str:
    """Renders the AsyncAPI document as text, the same at every call."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(render(), end="")

"""The AsyncAPI document: whole, true to the contract, and true to what a bus really sends."""

import json
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from jsonschema import (  # type: ignore[import-untyped]
    Draft7Validator,
    FormatChecker,
    ValidationError,
)
from mediq.queue.v1.event_pb2 import TicketEvent, TicketEventType
from mediq.queue.v1.queue_pb2 import Priority, TicketStatus

from mesh.messaging.events import Event
from mesh.messaging.rabbit import message_of
from queue_svc.messages.routing_keys import FEED, event_names, routing_key
from tools.generation import asyncapi

DOCUMENT: dict[str, Any] = asyncapi.document()
CHANNEL = DOCUMENT["channels"]["ticketEvents"]
MESSAGE = DOCUMENT["components"]["messages"]["TicketEvent"]
KINDS = [kind for kind in TicketEventType.values() if kind]

each_kind = pytest.mark.parametrize("kind", KINDS, ids=event_names())


def ticket_event(kind: TicketEventType.ValueType) -> TicketEvent:
    return TicketEvent(
        id=str(uuid4()),
        type=kind,
        ticket_id=str(uuid4()),
        number="A-001",
        institution_id=str(uuid4()),
        service_id=str(uuid4()),
        status=TicketStatus.TICKET_STATUS_CALLED,
        counter_name="Loket 1",
        occur_time=Timestamp(seconds=1_772_416_800),
        version=2,
        priority=Priority.PRIORITY_NORMAL,
        service_day="2026-03-02",
        revision=7,
        waiting=3,
        journey_id=str(uuid4()),
    )


def check(schema: dict[str, Any], value: object) -> None:
    """Validates a value; references lead into the document."""
    whole = {**schema, "components": DOCUMENT["components"]}
    Draft7Validator(whole, format_checker=FormatChecker()).validate(value)


def references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [found for part in value.values() for found in references(part)]
    if isinstance(value, list):
        return [found for part in value for found in references(part)]
    return []


def test_it_is_the_same_at_every_call() -> None:
    assert asyncapi.render() == asyncapi.render()
    assert json.loads(asyncapi.render()) == DOCUMENT
    assert asyncapi.render().endswith("}\n")


def test_its_shape() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert CHANNEL["address"] == "{institutionId}.{serviceId}.{event}"
    assert list(CHANNEL["parameters"]) == ["institutionId", "serviceId", "event"]
    binding = CHANNEL["bindings"]["amqp"]
    assert binding["is"] == "routingKey"
    assert binding["exchange"] == {
        "name": "mediq.queue.events",
        "type": "topic",
        "durable": True,
        "autoDelete": False,
    }
    (operation,) = DOCUMENT["operations"].values()
    assert operation["action"] == "send"
    assert operation["bindings"]["amqp"]["mandatory"] is True
    assert MESSAGE["contentType"] == "application/protobuf"


def test_references_lead_somewhere() -> None:
    found = references(DOCUMENT)
    assert len(found) > 4
    for reference in found:
        place = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_every_kind_of_event_has_a_word_of_its_own() -> None:
    assert CHANNEL["parameters"]["event"]["enum"] == event_names()
    assert len(set(event_names())) == len(KINDS)
    assert {"issued", "called", "no_show", "transferred"} <= set(event_names())


def test_every_field_is_explained_and_none_is_personal() -> None:
    properties = DOCUMENT["components"]["schemas"]["TicketEvent"]["properties"]
    assert set(properties) == {field.json_name for field in TicketEvent.DESCRIPTOR.fields}
    assert not any(field.GetOptions().debug_redact for field in TicketEvent.DESCRIPTOR.fields)
    assert "x-mediq-personal" not in asyncapi.render()
    for field in properties.values():
        assert "description" in field or "$ref" in field


@each_kind
def test_the_schema_takes_a_real_event(kind: TicketEventType.ValueType) -> None:
    printed = MessageToDict(ticket_event(kind), always_print_fields_with_no_presence=True)
    check(MESSAGE["payload"], printed)
    with pytest.raises(ValidationError):
        check(MESSAGE["payload"], {**printed, "type": "TICKET_EVENT_TYPE_LOST"})
    with pytest.raises(ValidationError):
        check(MESSAGE["payload"], {**printed, "version": "2"})


@each_kind
def test_the_headers_are_those_that_a_bus_sends(kind: TicketEventType.ValueType) -> None:
    event = ticket_event(kind)
    sent = message_of(FEED, Event(event.id, routing_key(event), event.SerializeToString()))
    check(MESSAGE["headers"], dict(sent.headers))
    assert set(sent.headers) == set(MESSAGE["headers"]["properties"])
    assert sent.content_type == MESSAGE["contentType"]

"""A visit as an Encounter of FHIR R4, application/fhir+json."""

import datetime
import json
from typing import TYPE_CHECKING, Any

from mediq.queue.v1.queue_pb2 import Ticket, TicketStatus

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp
    from mediq.queue.v1.ticket_service_pb2 import Journey

CONTENT_TYPE = "application/fhir+json"
"""Media type of FHIR's JSON (https://hl7.org/fhir/R4/http.html#mime-type)."""
JOURNEY_SYSTEM = "urn:mediq:journey"
"""System of the Encounter's identifier; its value is the id of the visit."""
ACCOUNT_SYSTEM = "urn:mediq:account"
"""System of the subject's identifier; its value is the id of the patient's account."""
INSTITUTION_SYSTEM = "urn:mediq:institution"
"""System of the service provider's identifier; its value is the id of the facility."""
SERVICE_SYSTEM = "urn:mediq:service"
"""System of a location's identifier; its value is the id of the service."""
_AMBULATORY = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
    "code": "AMB",
    "display": "ambulatory",
}
_PRESENCE = {
    TicketStatus.TICKET_STATUS_WAITING: "planned",
    TicketStatus.TICKET_STATUS_CALLED: "planned",
    TicketStatus.TICKET_STATUS_SKIPPED: "planned",
    TicketStatus.TICKET_STATUS_SERVING: "active",
    TicketStatus.TICKET_STATUS_DONE: "completed",
    TicketStatus.TICKET_STATUS_TRANSFERRED: "completed",
}
"""EncounterLocationStatus by state of the ticket; who never came was not at the place."""


def encounter(journey: "Journey") -> bytes:
    """Returns a visit as an Encounter, UTF-8 JSON. The same visit always gives the same bytes.

    Nobody is named: the patient is the id of the account, and neither numbers, counters nor the
    reasons of a priority are told. References are logical (an identifier, no URL), because the
    mesh is no FHIR server. Times are UTC in whole seconds, `YYYY-MM-DDThh:mm:ss+00:00`, as
    SATUSEHAT wants them.

    Args:
        journey: A visit with its tickets and its status history, neither empty.

    Raises:
        pydantic.ValidationError: The Encounter would not be valid, which is a fault of ours.
    """
    # Costs some 20 MB and a tenth of a second at first use: only where the export is on. The
    # package has no R4; Encounter has the same elements, types, cardinalities and status codes in
    # R4B (4.3.0) and in R4 (4.0.1).
    from fhir.resources.R4B.encounter import Encounter

    history = journey.status_history
    made = Encounter.model_validate(
        {
            "identifier": [{"system": JOURNEY_SYSTEM, "value": journey.id}],
            "status": history[-1].status,
            "statusHistory": [
                {
                    "status": one.status,
                    "period": _period(one.start_time, _when(one, "end_time")),
                }
                for one in history
            ],
            "class": _AMBULATORY,
            "subject": _reference("Patient", ACCOUNT_SYSTEM, journey.patient_id),
            "period": _period(history[0].start_time, _when(history[-1], "end_time")),
            "location": [_location(one) for one in journey.tickets if one.status in _PRESENCE]
            or None,
            "serviceProvider": _reference(
                "Organization",
                INSTITUTION_SYSTEM,
                journey.institution_id,
                journey.tickets[0].institution_name,
            ),
        }
    )
    # The package would write Z; SATUSEHAT wants the offset.
    text = json.dumps(made.model_dump(), default=_text, ensure_ascii=False, separators=(",", ":"))
    return text.encode()


def _location(ticket: Ticket) -> dict[str, Any]:
    """Returns the place of a service, and when the patient was served there."""
    made: dict[str, Any] = {
        "location": _reference("Location", SERVICE_SYSTEM, ticket.service_id, ticket.service_name),
        "status": _PRESENCE[ticket.status],
    }
    if ticket.HasField("serve_time"):
        made["period"] = _period(ticket.serve_time, _when(ticket, "close_time"))
    return made


def _reference(kind: str, system: str, value: str, display: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {"type": kind, "identifier": {"system": system, "value": value}}
    return made | ({"display": display} if display else {})


def _period(start: "Timestamp", end: "Timestamp | None") -> dict[str, datetime.datetime]:
    made = {"start": _seconds(start)}
    return made if end is None else made | {"end": _seconds(end)}


def _seconds(moment: "Timestamp") -> datetime.datetime:
    """Returns a moment without its fraction: cutting keeps the order, and no gap opens."""
    return datetime.datetime.fromtimestamp(moment.seconds, datetime.UTC)


def _when(message: Any, field: str) -> "Timestamp | None":
    """Returns a time of a message, None when it is absent."""
    return getattr(message, field) if message.HasField(field) else None


def _text(value: datetime.datetime) -> str:
    return value.isoformat()

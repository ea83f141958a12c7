"""A visit exported as a FHIR Encounter."""

import datetime
import json
import subprocess
import sys
from typing import Any

import pytest
from fhir.resources.R4B.encounter import Encounter
from mediq.queue.v1.queue_pb2 import PriorityGround, Ticket, TicketStatus
from mediq.queue.v1.ticket_service_pb2 import EncounterPeriod, Journey

from mesh.clock import timestamp
from queue_svc.adapters.fhir_encounter import encounter

NOW = datetime.datetime(2026, 3, 2, 2, 0, 0, 987_654, tzinfo=datetime.UTC)
S = TicketStatus
SECRETS = ("A-012", "Loket dr. Sari", "PREGNANT")
"""What a ticket carries and an Encounter must not tell."""


def at(minutes: float) -> datetime.datetime:
    return NOW + datetime.timedelta(minutes=minutes)


def a_ticket(
    service: str, status: TicketStatus.ValueType, serve: float = -1, close: float = -1
) -> Ticket:
    return Ticket(
        id=f"ticket-{service}",
        number=SECRETS[0],
        institution_id="rsud",
        institution_name="RSUD Sehat Selalu",
        service_id=service,
        service_name=f"Poli {service} é",
        patient_id="account",
        status=status,
        counter_name=SECRETS[1],
        priority_ground=PriorityGround.PRIORITY_GROUND_PREGNANT,
        create_time=timestamp(NOW),
        serve_time=timestamp(at(serve)) if serve >= 0 else None,
        close_time=timestamp(at(close)) if close >= 0 else None,
    )


def a_period(status: str, start: float, end: float | None) -> EncounterPeriod:
    return EncounterPeriod(
        status=status,
        start_time=timestamp(at(start)),
        end_time=None if end is None else timestamp(at(end)),
    )


def a_journey(tickets: list[Ticket], history: list[EncounterPeriod]) -> Journey:
    return Journey(
        id="visit",
        institution_id="rsud",
        patient_id="account",
        arrive_time=timestamp(NOW),
        tickets=tickets,
        status_history=history,
    )


FINISHED = a_journey(
    [
        a_ticket("Umum", S.TICKET_STATUS_TRANSFERRED, 10, 20),
        a_ticket("Apotek", S.TICKET_STATUS_DONE, 25, 30),
    ],
    [
        a_period("arrived", 0, 10),
        a_period("in-progress", 10, 30),
        a_period("finished", 30, 30),
    ],
)
OPEN = a_journey(
    [
        a_ticket("Umum", S.TICKET_STATUS_TRANSFERRED, 10, 20),
        a_ticket("Lab", S.TICKET_STATUS_SERVING, 25),
    ],
    [a_period("arrived", 0, 10), a_period("in-progress", 10, None)],
)
WAITING = a_journey([a_ticket("Umum", S.TICKET_STATUS_WAITING)], [a_period("arrived", 0, None)])
CANCELLED = a_journey(
    [a_ticket("Umum", S.TICKET_STATUS_CANCELLED, close=5)],
    [a_period("arrived", 0, 5), a_period("cancelled", 5, 5)],
)
every_journey = pytest.mark.parametrize(
    "journey",
    [FINISHED, OPEN, WAITING, CANCELLED],
    ids=["finished", "open", "waiting", "cancelled"],
)


def read(journey: Journey) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(encounter(journey))
    return made


def test_a_finished_visit() -> None:
    assert read(FINISHED) == {
        "resourceType": "Encounter",
        "identifier": [{"system": "urn:mediq:journey", "value": "visit"}],
        "status": "finished",
        "statusHistory": [
            {
                "status": "arrived",
                "period": {
                    "start": "2026-03-02T02:00:00+00:00",
                    "end": "2026-03-02T02:10:00+00:00",
                },
            },
            {
                "status": "in-progress",
                "period": {
                    "start": "2026-03-02T02:10:00+00:00",
                    "end": "2026-03-02T02:30:00+00:00",
                },
            },
            {
                "status": "finished",
                "period": {
                    "start": "2026-03-02T02:30:00+00:00",
                    "end": "2026-03-02T02:30:00+00:00",
                },
            },
        ],
        "class": {
            "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
            "code": "AMB",
            "display": "ambulatory",
        },
        "subject": {
            "type": "Patient",
            "identifier": {"system": "urn:mediq:account", "value": "account"},
        },
        "period": {"start": "2026-03-02T02:00:00+00:00", "end": "2026-03-02T02:30:00+00:00"},
        "location": [
            {
                "location": {
                    "type": "Location",
                    "identifier": {"system": "urn:mediq:service", "value": service},
                    "display": f"Poli {service} é",
                },
                "status": "completed",
                "period": {"start": start, "end": end},
            }
            for service, start, end in (
                ("Umum", "2026-03-02T02:10:00+00:00", "2026-03-02T02:20:00+00:00"),
                ("Apotek", "2026-03-02T02:25:00+00:00", "2026-03-02T02:30:00+00:00"),
            )
        ],
        "serviceProvider": {
            "type": "Organization",
            "identifier": {"system": "urn:mediq:institution", "value": "rsud"},
            "display": "RSUD Sehat Selalu",
        },
    }


def test_what_lasts_has_no_end() -> None:
    made = read(OPEN)
    assert made["status"] == "in-progress"
    assert made["period"] == {"start": "2026-03-02T02:00:00+00:00"}
    assert made["statusHistory"][-1]["period"] == {"start": "2026-03-02T02:10:00+00:00"}
    assert [one["status"] for one in made["location"]] == ["completed", "active"]
    assert made["location"][-1]["period"] == {"start": "2026-03-02T02:25:00+00:00"}


def test_who_waits_is_expected_at_the_place() -> None:
    (place,) = read(WAITING)["location"]
    assert (place["status"], "period" in place) == ("planned", False)


def test_who_never_came_was_nowhere() -> None:
    made = read(CANCELLED)
    assert made["status"] == "cancelled"
    assert "location" not in made


@every_journey
def test_it_is_valid_when_read_again(journey: Journey) -> None:
    """The package leaves codes unchecked, so they are compared with its own lists here."""
    again = Encounter.model_validate_json(encounter(journey))
    fields = Encounter.model_fields["status"].json_schema_extra
    assert isinstance(fields, dict)
    codes = fields["enum_values"]
    assert isinstance(codes, list)
    history = again.statusHistory or []
    assert {one.status for one in history} <= set(codes)
    assert again.status == history[-1].status


@every_journey
def test_the_history_is_that_of_the_visit(journey: Journey) -> None:
    made = read(journey)["statusHistory"]
    assert [one["status"] for one in made] == [one.status for one in journey.status_history]
    for one, period in zip(made, journey.status_history, strict=True):
        start = datetime.datetime.fromisoformat(one["period"]["start"])
        assert start.timestamp() == period.start_time.seconds
        assert ("end" in one["period"]) == period.HasField("end_time")
    ends = [one["period"].get("end") for one in made[:-1]]
    assert ends == [one["period"]["start"] for one in made[1:]]


@every_journey
def test_nobody_is_named(journey: Journey) -> None:
    text = encounter(journey).decode()
    assert not [secret for secret in SECRETS if secret in text]
    assert set(json.loads(text)["subject"]) == {"type", "identifier"}
    assert "ticket-" not in text


@every_journey
def test_the_same_visit_gives_the_same_bytes(journey: Journey) -> None:
    copy = Journey.FromString(journey.SerializeToString())
    assert encounter(journey) == encounter(copy)


def test_the_package_is_loaded_only_when_used() -> None:
    code = (
        "import sys, queue_svc.adapters.fhir_encounter; "
        "sys.exit(any(n.split('.')[0] == 'fhir' for n in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

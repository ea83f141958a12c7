"""The copy of a person's data: all of it, or an error."""

from __future__ import annotations

import datetime
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.json_format import MessageToDict
from mediq.ocr.v1 import data_rights_service_pb2 as messages
from mediq.queue.v1.queue_pb2 import TicketStatus

from mesh.errors import unavailable
from ocr_svc.domain.consent import CONSENTS
from tests.ocr_svc.conftest import ALL_PURPOSES, Clinic, registered, rights_token, upload
from tests.ocr_svc.data_rights.exports import FATE, export
from tests.ocr_svc.doubles import NAME, NIK, card
from tests.ocr_svc.steps import COMPLETED, FAILED
from tests.support.mesh import problem
from tests.support.waiting import eventually

MONDAY = datetime.datetime(2026, 3, 2, 2, 0, tzinfo=datetime.UTC)


async def test_everything_is_in_the_copy(clinic: Clinic, database_url: str) -> None:
    async with clinic.serve(database_url=database_url) as stub:
        first = await registered(clinic, stub)
        clinic.queue.close(
            first.ticket,
            TicketStatus.TICKET_STATUS_CALLED,
            TicketStatus.TICKET_STATUS_NO_SHOW,
            time=MONDAY,
        )
        second = await registered(clinic, stub)
        clinic.reader.reading = card(nik="3273014107900002", nama="ORANG LAIN")
        await registered(clinic, stub)
        copy: messages.PersonalData = await export(clinic, first.user_id)
        late = abs(copy.create_time.ToDatetime(datetime.UTC) - clinic.now())
        assert late < datetime.timedelta(seconds=10)
        assert copy.record == clinic.users.records[first.user_id]
        assert (copy.record.identity.nik, copy.record.identity.nama) == (NIK, NAME)
        assert list(copy.record.institution_ids) == [clinic.facilities.institution_id]
        assert [one.registration_id for one in copy.consents] == [second.id, first.id]
        for consent in copy.consents:
            assert consent.institution_id == clinic.facilities.institution_id
            assert consent.service_id == clinic.facilities.service_id
            assert consent.version == CONSENTS[-1].version
            assert list(consent.purposes) == ALL_PURPOSES
            assert consent.state == COMPLETED
        assert (
            copy.consents[0].consent_time.ToDatetime() > copy.consents[1].consent_time.ToDatetime()
        )
        assert [one.ticket.id for one in copy.tickets] == [second.ticket.id, first.ticket.id]
        assert [one.reason for one in copy.tickets[1].changes] == ["2 batuk", "6 batuk"]
        assert "ORANG LAIN" not in str(MessageToDict(copy))


async def test_all_pages_and_no_more_than_a_message_takes(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    clinic.queue.page_size = 2
    async with clinic.serve() as stub:
        made = [await registered(clinic, stub) for _ in range(5)]
        user_id = made[0].user_id
        copy: messages.PersonalData = await export(clinic, user_id)
        assert [one.ticket.id for one in copy.tickets] == [one.ticket.id for one in made[::-1]]
        monkeypatch.setattr("ocr_svc.application.export_personal_data.MAX_TICKETS", 5)
        assert len((await export(clinic, user_id)).tickets) == 5
        monkeypatch.setattr("ocr_svc.application.export_personal_data.MAX_TICKETS", 4)
        assert await problem(export(clinic, user_id)) == ("RESOURCE_EXHAUSTED", "TOO_MANY_TICKETS")


async def test_a_registration_that_failed_is_in_the_copy(clinic: Clinic) -> None:
    async with clinic.serve() as stub:
        done = await registered(clinic, stub)
        clinic.queue.refusals["IssueTicket"] = unavailable("down", "DOWN")
        await registered(clinic, stub)
    async with clinic.serve(give_up_minutes=0.1 / 60):
        await eventually(lambda: ("FAILED",) in clinic.rows("SELECT state FROM registrations"))
        copy: messages.PersonalData = await export(clinic, done.user_id)
    assert [one.state for one in copy.consents] == [FAILED, COMPLETED]


@pytest.mark.parametrize("service", ["users", "queue"])
async def test_no_half_copy(clinic: Clinic, service: str) -> None:
    async with clinic.serve() as stub:
        done = await registered(clinic, stub)
        getattr(clinic, service).refusal = unavailable("down", "DOWN")
        assert await problem(export(clinic, done.user_id)) == ("UNAVAILABLE", "DOWN")
        getattr(clinic, service).refusal = None
        assert (await export(clinic, done.user_id)).tickets


async def test_only_the_person(clinic: Clinic) -> None:
    async with clinic.serve() as stub:
        done = await registered(clinic, stub)
        for metadata in (
            rights_token(clinic.mesh, str(uuid4())),
            (await upload(stub))[1],
            clinic.mesh.token(),
        ):
            for call in (
                clinic.rights.ExportPersonalData(
                    messages.ExportPersonalDataRequest(user_id=done.user_id), metadata=metadata
                ),
                clinic.rights.RequestErasure(
                    messages.RequestErasureRequest(request_id=str(uuid4()), user_id=done.user_id),
                    metadata=metadata,
                ),
            ):
                assert (await problem(call))[0] == "PERMISSION_DENIED"
        unknown = str(uuid4())
        assert await problem(export(clinic, unknown)) == ("NOT_FOUND", "USER_NOT_FOUND")


@pytest.mark.parametrize("model", FATE)
def test_every_column_is_told_or_explained(model: type[Any]) -> None:
    """A new column needs a place in the copy and a fate in the erasure, or a reason for neither."""
    assert set(FATE[model]) == {column.name for column in model.__table__.columns}
    told = {field for field, _ in FATE[model].values() if field}
    if told:
        assert told == set(messages.ConsentRecord.DESCRIPTOR.fields_by_name)

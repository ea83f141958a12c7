"""Copy and erasure with the real queue_svc: two databases, and nothing of the person in either."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from mediq.queue.v1 import ticket_service_pb2 as requests

from tests.ocr_svc.conftest import Clinic, registered
from tests.ocr_svc.data_rights.exports import export
from tests.ocr_svc.doubles import NAME, NIK
from tests.ocr_svc.erasures import ERASED, KEPT, RETAINED, becomes, erase
from tests.queue_svc.conftest import CANCELLED, DONE, SERVING, world_of
from tests.queue_svc.visits import transfer
from tests.support.backends.databases import dump, migrated_sqlite
from tests.support.mesh import Mesh, problem

REASON = "sesak napas sejak pagi"


@pytest.mark.parametrize("schema", ["queue_svc"])
async def test_from_registration_to_erasure(
    mesh: Mesh,
    clinic: Clinic,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = migrated_sqlite("ocr_svc", tmp_path / "ocr.db")
    async with world_of(mesh, database_url) as world:
        for name in ("queue_svc", "institution_svc"):
            monkeypatch.setenv(f"MEDIQ_{name.upper()}_ADDRESS", mesh.addresses[name])
        clinic.facilities.institution_id = world.place.facility
        clinic.facilities.service_id = world.place.service
        async with clinic.serve(database_url=own) as stub:
            done = await registered(clinic, stub)
            user_id = done.user_id
            refused = ("FAILED_PRECONDITION", "OPEN_TICKETS")
            assert await problem(erase(clinic, user_id)) == refused
            await world.call(done.ticket)
            await world.move(done.ticket, SERVING)
            world.clock.forward(minutes=5)
            made = await transfer(world, done.ticket, reason=REASON)
            assert await problem(erase(clinic, user_id)) == refused
            await world.stub.CancelTicket(
                requests.CancelTicketRequest(id=made.id, reason=REASON),
                metadata=world.session(user_id),
            )
            copy = await export(clinic, user_id)
            assert [one.ticket.id for one in copy.tickets] == [made.id, done.ticket.id]
            assert copy.tickets[0].ticket.status == CANCELLED
            assert {one.reason for ticket in copy.tickets for one in ticket.changes} == {"", REASON}
            found = await erase(clinic, user_id)
            served = copy.tickets[1].ticket.close_time.ToDatetime(datetime.UTC)
            assert (found.state, found.retain_time.ToDatetime(datetime.UTC)) == (
                RETAINED,
                served + KEPT,
            )
            assert user_id in repr(dump(database_url))
            clinic.users.seen.clear()
            clinic.ahead = served + KEPT - clinic.now()
            assert (await becomes(clinic, user_id, ERASED)).id == found.id
            for url in (database_url, own):
                written = repr(dump(url))
                for trace in (user_id, NIK, NAME, REASON):
                    assert trace not in written
            assert (await world.get(done.ticket)).next_ticket_id == made.id
            again = await registered(clinic, stub)
            assert again.user_id != user_id
            assert again.ticket.number == "A-002"
            await world.call(again.ticket)
            await world.move(again.ticket, SERVING)
            await world.move(again.ticket, DONE)

"""The erasure of a person's data: at once or when the law lets go, and nothing of them is left."""

from __future__ import annotations

import asyncio
import datetime
import io
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from mediq.ocr.v1 import data_rights_service_pb2 as messages
from mediq.ocr.v1 import registration_service_pb2
from mediq.queue.v1.queue_pb2 import TicketStatus

from mesh.errors import MeshError, StatusCode
from ocr_svc.domain.consent import CONSENTS
from ocr_svc.persistence.models import RegistrationRow
from tests.ocr_svc.conftest import Clinic, registered, upload
from tests.ocr_svc.data_rights.exports import FATE, export
from tests.ocr_svc.doubles import NAME, NIK, Double, card
from tests.ocr_svc.erasures import (
    ABSENT,
    CALLED,
    CANCELLED,
    DOWN,
    ERASED,
    KEPT,
    RETAINED,
    SERVED,
    SERVING,
    WAITING,
    becomes,
    erase,
    in_database,
    keys,
    visited,
)
from tests.ocr_svc.steps import FAILED, state_becomes
from tests.support.backends.databases import dump
from tests.support.mesh import problem
from tests.support.waiting import eventually, more

if TYPE_CHECKING:
    from mediq.ocr.v1.registration_service_pb2_grpc import RegistrationServiceAsyncStub

ACCEPTED = messages.ERASURE_STATE_ACCEPTED


@pytest.fixture
async def stub(clinic: Clinic, database_url: str) -> AsyncIterator[RegistrationServiceAsyncStub]:
    async with clinic.serve(database_url=database_url) as found:
        yield found


class TestAtOnce:
    async def test_nothing_of_a_person_who_was_never_served_is_left(
        self, clinic: Clinic, stub: RegistrationServiceAsyncStub, database_url: str
    ) -> None:
        draft, session = await upload(stub)
        confirm = clinic.confirm_request(draft.id)
        first = await stub.ConfirmRegistration(confirm, metadata=session)
        clinic.queue.close(first.ticket, *ABSENT, time=clinic.now())
        second = await visited(clinic, stub, CANCELLED)
        clinic.reader.reading = card(nik="3273014107900002", nama="ORANG LAIN")
        other = await registered(clinic, stub)
        before = {row["id"]: row for row in dump(database_url)["registrations"]}
        found = await erase(clinic, first.user_id)
        assert (found.state, found.user_id) == (ERASED, first.user_id)
        assert not found.HasField("retain_time")
        after = dump(database_url)
        written = repr(after)
        for trace in (first.user_id, draft.id, confirm.request_id, NIK, NAME):
            # The draft's own row, without content, stays for a day.
            assert trace not in repr(after | {"drafts": []})
        assert first.user_id not in written
        assert second.ticket.id not in written
        rows = {row["id"]: row for row in after["registrations"]}
        assert rows[other.id] == before[other.id]
        for done in (first, second):
            for column, (_, fate) in FATE[RegistrationRow].items():
                same = rows[done.id][column] == before[done.id][column]
                assert same == (not fate.startswith(("emptied:", "replaced:"))), column
            assert rows[done.id]["consent_version"] == CONSENTS[-1].version
        assert first.user_id not in clinic.users.records
        assert clinic.queue.of(first.user_id) == []
        assert len({one.patient_id for one in clinic.queue.tickets.values()}) == 3
        assert keys(clinic.users, "ErasePatient") == [found.id]
        assert keys(clinic.queue, "ErasePatientTickets") == [found.id]
        gone = stub.GetRegistration(
            registration_service_pb2.GetRegistrationRequest(draft_id=draft.id), metadata=session
        )
        assert await problem(gone) == ("NOT_FOUND", "REGISTRATION_NOT_FOUND")
        again = stub.ConfirmRegistration(confirm, metadata=session)
        assert await problem(again) == ("FAILED_PRECONDITION", "DRAFT_CONFIRMED")
        assert await problem(export(clinic, first.user_id)) == ("NOT_FOUND", "USER_NOT_FOUND")
        assert len((await export(clinic, other.user_id)).consents) == 1

    async def test_where_the_queue_is_no_medical_record(
        self, clinic: Clinic, database_url: str
    ) -> None:
        async with clinic.serve(database_url=database_url, retention_days=0) as stub:
            done = await visited(clinic, stub, *SERVED, ago=datetime.timedelta())
            assert (await erase(clinic, done.user_id)).state == ERASED

    async def test_a_visit_that_is_long_past(self, clinic: Clinic) -> None:
        async with clinic.serve() as stub:
            done = await visited(clinic, stub, *SERVED, ago=KEPT + datetime.timedelta(seconds=1))
            found = await erase(clinic, done.user_id)
            assert (found.state, found.HasField("retain_time")) == (ERASED, False)

    async def test_asked_again_it_is_the_same(
        self, clinic: Clinic, stub: RegistrationServiceAsyncStub
    ) -> None:
        done = await visited(clinic, stub, *ABSENT)
        key = str(uuid4())
        found = await asyncio.gather(
            *(erase(clinic, done.user_id, key if number % 2 else "") for number in range(6))
        )
        assert {one.id for one in found} == {found[0].id}
        assert {one.state for one in found} == {ERASED}
        again = await erase(clinic, done.user_id)
        assert again == await erase(clinic, done.user_id, key) == found[0]
        assert set(keys(clinic.users, "ErasePatient")) == {found[0].id}

    async def test_the_person_comes_again(
        self, clinic: Clinic, stub: RegistrationServiceAsyncStub
    ) -> None:
        first = await visited(clinic, stub, *ABSENT)
        erased = await erase(clinic, first.user_id)
        second = await visited(clinic, stub, *ABSENT)
        assert second.user_id != first.user_id
        assert len((await export(clinic, second.user_id)).consents) == 1
        other = await erase(clinic, second.user_id)
        assert other.id != erased.id
        assert await erase(clinic, first.user_id) == erased


class TestRetained:
    async def test_until_the_law_lets_go(
        self,
        looks: list[None],
        clinic: Clinic,
        stub: RegistrationServiceAsyncStub,
        database_url: str,
    ) -> None:
        await visited(clinic, stub, *SERVED, ago=datetime.timedelta(days=9))
        last = await visited(clinic, stub, *SERVED, ago=datetime.timedelta(days=2))
        done = await visited(clinic, stub, *ABSENT, ago=datetime.timedelta(days=1))
        end = clinic.queue.changes[last.ticket.id][-1].occur_time.ToDatetime(datetime.UTC) + KEPT
        found = await erase(clinic, done.user_id)
        assert found.state == RETAINED
        assert found.retain_time.ToDatetime(datetime.UTC) == end
        assert clinic.users.kept == {done.user_id: end}
        assert len(clinic.queue.of(done.user_id)) == 3
        assert await erase(clinic, done.user_id) == found
        assert keys(clinic.users, "ErasePatient") == [found.id]
        # Days have passed: user_svc would do what a key that it has forgotten asks for.
        clinic.users.seen.clear()
        clinic.ahead = end - clinic.now() - datetime.timedelta(hours=1)
        await more(looks, 20)
        assert await erase(clinic, done.user_id) == found
        assert not clinic.users.seen
        # Nobody asks: it is erased because its time has come.
        clinic.ahead += datetime.timedelta(hours=2)
        await in_database(database_url, "ERASED")
        gone = await erase(clinic, done.user_id)
        assert (gone.id, gone.state, gone.retain_time) == (found.id, ERASED, found.retain_time)
        assert keys(clinic.users, "ErasePatient") == [found.id]
        assert keys(clinic.queue, "ErasePatientTickets") == [found.id]
        assert clinic.users.kept == clinic.users.records == {}
        assert clinic.queue.of(done.user_id) == []
        assert done.user_id not in repr(dump(database_url))

    async def test_a_service_that_was_begun_and_taken_back_is_a_visit(self, clinic: Clinic) -> None:
        async with clinic.serve() as stub:
            done = await visited(clinic, stub, CALLED, SERVING, WAITING, CANCELLED)
            assert (await erase(clinic, done.user_id)).state == RETAINED

    async def test_two_replicas_let_go_once(self, clinic: Clinic, database_url: str) -> None:
        async with (
            clinic.serve(database_url=database_url) as stub,
            clinic.serve(database_url=database_url),
        ):
            done = await visited(clinic, stub, *SERVED)
            found = await erase(clinic, done.user_id)
            clinic.users.seen.clear()
            clinic.ahead = KEPT
            await in_database(database_url, "ERASED")
        assert keys(clinic.users, "ErasePatient") == [found.id]
        assert keys(clinic.queue, "ErasePatientTickets") == [found.id]

    async def test_the_time_is_over_within_a_day(self, looks: list[None], clinic: Clinic) -> None:
        """user_svc still knows the key from the closing of the account."""
        async with clinic.serve() as stub:
            done = await visited(clinic, stub, *SERVED, ago=KEPT - datetime.timedelta(hours=1))
            assert (await erase(clinic, done.user_id)).state == RETAINED
            clinic.ahead = datetime.timedelta(hours=2)
            await more(looks, 20)
            assert (await erase(clinic, done.user_id)).state == RETAINED
            clinic.users.seen.clear()
            await becomes(clinic, done.user_id, ERASED)

    async def test_what_was_promised_holds_when_the_setting_changes(
        self, looks: list[None], clinic: Clinic
    ) -> None:
        async with clinic.serve() as stub:
            done = await visited(clinic, stub, *SERVED)
            found = await erase(clinic, done.user_id)
        clinic.users.seen.clear()
        async with clinic.serve(retention_days=0):
            await more(looks, 20)
            assert await erase(clinic, done.user_id) == found
        assert not clinic.users.seen

    async def test_the_person_comes_again_meanwhile(
        self, clinic: Clinic, stub: RegistrationServiceAsyncStub
    ) -> None:
        first = await visited(clinic, stub, *SERVED)
        await erase(clinic, first.user_id)
        second = await registered(clinic, stub)
        assert second.user_id != first.user_id


class TestRefused:
    @pytest.mark.parametrize(
        "status", [WAITING, CALLED, SERVING, TicketStatus.TICKET_STATUS_SKIPPED]
    )
    async def test_an_open_ticket(self, clinic: Clinic, status: TicketStatus.ValueType) -> None:
        async with clinic.serve() as stub:
            await visited(clinic, stub, *ABSENT)
            done = await registered(clinic, stub)
            clinic.queue.close(done.ticket, status, time=clinic.now())
            call = erase(clinic, done.user_id)
            assert await problem(call) == ("FAILED_PRECONDITION", "OPEN_TICKETS")
            assert not clinic.rows("SELECT id FROM erasures")
            assert not clinic.users.seen
            clinic.queue.close(done.ticket, CANCELLED, time=clinic.now())
            assert (await erase(clinic, done.user_id)).id

    @pytest.mark.parametrize("held", ["users", "queue"])
    async def test_a_registration_on_its_way(
        self, clinic: Clinic, database_url: str, held: str
    ) -> None:
        method = {"users": "EnsurePatient", "queue": "IssueTicket"}[held]
        async with clinic.serve(database_url=database_url) as stub:
            done = await visited(clinic, stub, *ABSENT)
            clinic.reader.reading = card(nik="3273014107900002", nama="ORANG LAIN")
            stranger = await visited(clinic, stub, *ABSENT)
            clinic.reader.reading = card()
            getattr(clinic, held).refusals[method] = DOWN
            running = await registered(clinic, stub)
            assert running.user_id == (done.user_id if held == "queue" else "")
            refused = ("FAILED_PRECONDITION", "REGISTRATION_RUNNING")
            assert await problem(erase(clinic, done.user_id)) == refused
            assert not dump(database_url)["erasures"]
            assert (await erase(clinic, stranger.user_id)).state == ERASED
            del getattr(clinic, held).refusals[method]
            await eventually(lambda: len(clinic.queue.tickets) >= 3)
            call = erase(clinic, done.user_id)
            assert await problem(call) == ("FAILED_PRECONDITION", "OPEN_TICKETS")

    async def test_a_registration_that_is_damaged_is_nobodys(self, clinic: Clinic) -> None:
        async with clinic.serve() as stub:
            done = await visited(clinic, stub, *ABSENT)
            clinic.users.refusals["EnsurePatient"] = DOWN
            running = await registered(clinic, stub)
            clinic.damage(f"identity = x'00' WHERE id = '{running.id}'")
            assert (await erase(clinic, done.user_id)).state == ERASED

    async def test_a_registration_that_found_the_account_before_it_was_closed(
        self, clinic: Clinic
    ) -> None:
        async with clinic.serve() as stub:
            done = await visited(clinic, stub, *ABSENT)
            await erase(clinic, done.user_id)
            clinic.users.accounts[NIK] = done.user_id
            draft, session = await upload(stub)
            call = stub.ConfirmRegistration(clinic.confirm_request(draft.id), metadata=session)
            assert await problem(call) == ("FAILED_PRECONDITION", "ACCOUNT_ERASED")
            await state_becomes(stub, draft.id, session, FAILED)
        assert len(clinic.queue.tickets) == 1

    @pytest.mark.parametrize("service", ["users", "queue"])
    async def test_a_service_is_down_before_it_begins(self, clinic: Clinic, service: str) -> None:
        async with clinic.serve() as stub:
            done = await visited(clinic, stub, *ABSENT)
            getattr(clinic, service).refusal = DOWN
            assert await problem(erase(clinic, done.user_id)) == ("UNAVAILABLE", "DOWN")
            assert not clinic.rows("SELECT id FROM erasures")
            getattr(clinic, service).refusal = None
            unknown = erase(clinic, str(uuid4()))
            assert await problem(unknown) == ("NOT_FOUND", "USER_NOT_FOUND")
            assert not clinic.rows("SELECT id FROM erasures")


class TestInterrupted:
    @pytest.mark.parametrize(
        ("service", "method"), [("users", "ErasePatient"), ("queue", "ErasePatientTickets")]
    )
    @pytest.mark.parametrize(
        "refusal", [DOWN, MeshError("no", StatusCode.FAILED_PRECONDITION, "OPEN_TICKETS")]
    )
    async def test_a_service_is_down_and_comes_back(
        self, clinic: Clinic, database_url: str, service: str, method: str, refusal: MeshError
    ) -> None:
        double: Double = getattr(clinic, service)
        async with clinic.serve(database_url=database_url) as stub:
            done = await visited(clinic, stub, *ABSENT)
            double.refusals[method] = refusal
            found = await erase(clinic, done.user_id)
            assert found.state == ACCEPTED
            del double.refusals[method]
            await in_database(database_url, "ERASED")
        assert keys(clinic.users, "ErasePatient") == [found.id]
        assert keys(clinic.queue, "ErasePatientTickets") == [found.id]

    async def test_the_answers_are_lost(self, clinic: Clinic, database_url: str) -> None:
        clinic.users.lost.add("ErasePatient")
        clinic.queue.lost.add("ErasePatientTickets")
        async with clinic.serve(database_url=database_url) as stub:
            done = await visited(clinic, stub, *ABSENT)
            found = await becomes(clinic, done.user_id, ERASED)
        assert keys(clinic.users, "ErasePatient") == [found.id] * 2
        assert keys(clinic.queue, "ErasePatientTickets") == [found.id] * 2
        (ticket,) = clinic.queue.tickets.values()
        assert ticket.patient_id != done.user_id
        assert done.user_id not in repr(dump(database_url))

    async def test_a_stopped_process_gives_its_lease_back(self, clinic: Clinic) -> None:
        async with clinic.serve() as stub:
            done = await visited(clinic, stub, *ABSENT)
            clinic.queue.hold, clinic.queue.held = asyncio.Event(), "ErasePatientTickets"
            clinic.queue.arrived.clear()
            pending = asyncio.ensure_future(erase(clinic, done.user_id))
            await clinic.queue.arrived.wait()
        await asyncio.gather(pending, return_exceptions=True)
        assert clinic.rows("SELECT state, lease_until FROM erasures") == [("ACCOUNT_ERASED", None)]
        clinic.queue.hold.set()
        async with clinic.serve():
            await in_database(f"sqlite:///{clinic.database}", "ERASED")
        assert len(keys(clinic.users, "ErasePatient")) == 1


async def test_the_log_names_nobody(lines: io.StringIO, clinic: Clinic) -> None:
    async with clinic.serve() as stub:
        done = await visited(clinic, stub, *ABSENT)
        found = await erase(clinic, done.user_id)
        await eventually(lambda: found.id in lines.getvalue())
    text = lines.getvalue()
    for trace in (NIK, NAME, done.user_id):
        assert trace not in text

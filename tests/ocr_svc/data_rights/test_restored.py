"""A service's database was put back from before an erasure: asking again erases again."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from mediq.queue.v1.queue_pb2 import Ticket

from tests.ocr_svc.conftest import Clinic, registered, upload
from tests.ocr_svc.doubles import NIK
from tests.ocr_svc.erasures import (
    ABSENT,
    CANCELLED,
    DOWN,
    ERASED,
    KEPT,
    RETAINED,
    SERVED,
    WAITING,
    backup,
    erase,
    in_database,
    keys,
    visited,
)
from tests.support.backends.databases import dump
from tests.support.mesh import problem

if TYPE_CHECKING:
    from mediq.ocr.v1.registration_service_pb2_grpc import RegistrationServiceAsyncStub


@pytest.fixture
async def stub(clinic: Clinic, database_url: str) -> AsyncIterator[RegistrationServiceAsyncStub]:
    async with clinic.serve(database_url=database_url) as found:
        yield found


def at_the_counter(clinic: Clinic, user_id: str) -> Ticket:
    """A waiting ticket that staff have taken for an account."""
    taken = Ticket(id=str(uuid4()), patient_id=user_id, status=WAITING)
    clinic.queue.tickets[taken.id] = taken
    return taken


@pytest.mark.parametrize("services", [("users",), ("users", "queue")])
async def test_asked_again_it_is_erased_again(
    clinic: Clinic,
    stub: RegistrationServiceAsyncStub,
    database_url: str,
    services: tuple[str, ...],
) -> None:
    done = await visited(clinic, stub, *ABSENT)
    restore = backup(*(getattr(clinic, name) for name in services))
    first = await erase(clinic, done.user_id)
    used = {*keys(clinic.users, "ErasePatient"), *keys(clinic.queue, "ErasePatientTickets")}
    clinic.users.seen.clear()
    clinic.queue.seen.clear()
    restore()
    key = str(uuid4())
    again = await erase(clinic, done.user_id, key)
    assert (again.id, again.state) == (first.id, ERASED)
    assert again.create_time.ToDatetime() > first.create_time.ToDatetime()
    assert clinic.users.records == clinic.users.accounts == {}
    assert clinic.queue.of(done.user_id) == []
    assert done.user_id not in repr(dump(database_url))
    # The other services know the old key for a day, and would answer it without doing anything.
    (new,) = {*keys(clinic.users, "ErasePatient"), *keys(clinic.queue, "ErasePatientTickets")}
    assert new not in used
    assert await erase(clinic, done.user_id, key) == await erase(clinic, done.user_id) == again
    assert keys(clinic.users, "ErasePatient") == [new]
    assert len(await clinic.audit.of("RequestErasure", 2)) == 2


async def test_what_the_person_did_after_the_restore_goes_too(
    clinic: Clinic, stub: RegistrationServiceAsyncStub
) -> None:
    done = await visited(clinic, stub, *ABSENT)
    restore = backup(clinic.users)
    await erase(clinic, done.user_id)
    restore()
    taken = at_the_counter(clinic, done.user_id)
    clinic.queue.close(taken, CANCELLED, time=clinic.now())
    assert (await erase(clinic, done.user_id)).state == ERASED
    assert clinic.queue.of(done.user_id) == []
    assert NIK not in clinic.users.accounts


async def test_a_card_opens_no_account_that_was_erased(
    clinic: Clinic, stub: RegistrationServiceAsyncStub
) -> None:
    done = await visited(clinic, stub, *ABSENT)
    restore = backup(clinic.users)
    await erase(clinic, done.user_id)
    restore()
    draft, session = await upload(stub)
    call = stub.ConfirmRegistration(clinic.confirm_request(draft.id), metadata=session)
    assert await problem(call) == ("FAILED_PRECONDITION", "ACCOUNT_ERASED")
    await erase(clinic, done.user_id)
    assert (await registered(clinic, stub)).user_id != done.user_id


async def test_asked_at_once_it_is_one_erasure(
    clinic: Clinic, stub: RegistrationServiceAsyncStub
) -> None:
    done = await visited(clinic, stub, *ABSENT)
    restore = backup(clinic.users)
    await erase(clinic, done.user_id)
    restore()
    clinic.users.seen.clear()
    clinic.queue.seen.clear()
    found = await asyncio.gather(*(erase(clinic, done.user_id) for _ in range(6)))
    assert len({(one.id, one.create_time.ToNanoseconds()) for one in found}) == 1
    assert {one.state for one in found} == {ERASED}
    assert len(keys(clinic.users, "ErasePatient")) == 1
    assert len(await clinic.audit.of("RequestErasure", 2)) == 2


async def test_what_is_kept_for_the_law_is_closed_again(
    clinic: Clinic, stub: RegistrationServiceAsyncStub, database_url: str
) -> None:
    done = await visited(clinic, stub, *SERVED)
    restore = backup(clinic.users)
    first = await erase(clinic, done.user_id)
    restore()
    assert clinic.users.kept == {}
    again = await erase(clinic, done.user_id)
    assert (again.id, again.state, again.retain_time) == (first.id, RETAINED, first.retain_time)
    assert clinic.users.kept == {done.user_id: first.retain_time.ToDatetime(datetime.UTC)}
    clinic.users.seen.clear()
    clinic.ahead = KEPT
    await in_database(database_url, "ERASED")
    assert done.user_id not in clinic.users.records


async def test_an_open_ticket_changes_nothing(
    clinic: Clinic, stub: RegistrationServiceAsyncStub, database_url: str
) -> None:
    done = await visited(clinic, stub, *ABSENT)
    restore = backup(clinic.users)
    await erase(clinic, done.user_id)
    restore()
    taken = at_the_counter(clinic, done.user_id)
    before = dump(database_url)["erasures"]
    refused = ("FAILED_PRECONDITION", "OPEN_TICKETS")
    assert await problem(erase(clinic, done.user_id)) == refused
    assert dump(database_url)["erasures"] == before
    clinic.queue.close(taken, CANCELLED, time=clinic.now())
    assert (await erase(clinic, done.user_id)).state == ERASED
    assert done.user_id not in clinic.users.records


async def test_nobody_knows_whether_the_account_is_back(
    clinic: Clinic, stub: RegistrationServiceAsyncStub
) -> None:
    done = await visited(clinic, stub, *ABSENT)
    found = await erase(clinic, done.user_id)
    clinic.users.refusal = DOWN
    assert await problem(erase(clinic, done.user_id)) == ("UNAVAILABLE", "DOWN")
    clinic.users.refusal = None
    assert await erase(clinic, done.user_id) == found

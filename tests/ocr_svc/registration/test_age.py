"""The age that a facility's rules of priority look at."""

from __future__ import annotations

import asyncio
import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from mediq.ocr.v1 import registration_service_pb2 as messages

from mesh.errors import unavailable
from ocr_svc.domain.registration import age_years
from tests.ocr_svc.conftest import Clinic, upload
from tests.ocr_svc.doubles import NIK, card, licence
from tests.ocr_svc.steps import COMPLETED, state_becomes
from tests.support.waiting import PATIENCE_SECONDS

if TYPE_CHECKING:
    from mediq.ocr.v1.registration_service_pb2_grpc import RegistrationServiceAsyncStub

JAKARTA = "Asia/Jakarta"
# On the first of January nobody's age depends on the day that the test runs.
BORN = f"01-01-{datetime.datetime.now(ZoneInfo(JAKARTA)).year - 70}"


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("born", "day", "years"),
    [
        ("02-03-1966", "2026-03-02", 60),
        ("03-03-1966", "2026-03-02", 59),
        ("01-03-1966", "2026-03-02", 60),
        ("01-12-1966", "2026-03-02", 59),
        ("29-02-1964", "2024-02-28", 59),
        ("29-02-1964", "2024-02-29", 60),
        ("29-02-1964", "2025-02-28", 60),
        ("29-02-1965", "2025-03-01", 0),
        ("29-02-1964", "2025-03-01", 61),
        ("02-03-2026", "2026-03-02", 0),
        ("03-03-2026", "2026-03-02", 0),
        ("01-01-2090", "2026-03-02", 0),
        ("02-03-1876", "2026-03-02", 150),
        ("02-03-1875", "2026-03-02", 0),
        ("", "2026-03-02", 0),
        ("1966", "2026-03-02", 0),
        ("31-02-1966", "2026-03-02", 0),
        ("O1-02-1966", "2026-03-02", 0),
    ],
)
def test_completed_years(born: str, day: str, years: int) -> None:
    assert age_years(born, at(f"{day}T05:00"), JAKARTA) == years


@pytest.mark.parametrize(
    ("moment", "time_zone", "years"),
    [
        ("2026-03-01T16:59:59", JAKARTA, 59),
        ("2026-03-01T17:00:00", JAKARTA, 60),
        ("2026-03-01T15:00:00", "Asia/Jayapura", 60),
        ("2026-03-01T23:00:00", "UTC", 59),
    ],
)
def test_the_day_of_the_facility_counts(moment: str, time_zone: str, years: int) -> None:
    assert age_years("02-03-1966", at(moment), time_zone) == years


@pytest.mark.parametrize(("born", "years"), [(BORN, 70), ("", 0), ("01-01-1666", 0)])
async def test_the_queue_is_told_the_age(
    registrations: RegistrationServiceAsyncStub, clinic: Clinic, born: str, years: int
) -> None:
    clinic.reader.reading = card(tanggal_lahir=born)
    draft, metadata = await upload(registrations)
    confirm = clinic.confirm_request(draft.id)
    done = await registrations.ConfirmRegistration(confirm, metadata=metadata)
    assert done.state == COMPLETED
    assert clinic.queue.ages == [years]
    assert clinic.rows("SELECT age FROM registrations") == [(None,)]


async def test_a_corrected_day_of_birth_counts(
    registrations: RegistrationServiceAsyncStub, clinic: Clinic
) -> None:
    draft, metadata = await upload(registrations)
    update = messages.UpdateDraftRequest(id=draft.id, tanggal_lahir=BORN)
    await registrations.UpdateDraft(update, metadata=metadata)
    confirm = clinic.confirm_request(draft.id)
    await registrations.ConfirmRegistration(confirm, metadata=metadata)
    assert clinic.queue.ages == [70]


async def test_a_driving_licence_tells_the_age_too(
    registrations: RegistrationServiceAsyncStub, clinic: Clinic
) -> None:
    clinic.reader.reading = licence(nomor_sim=NIK, tanggal_lahir=BORN)
    draft, metadata = await upload(registrations)
    confirm = clinic.confirm_request(draft.id)
    await registrations.ConfirmRegistration(confirm, metadata=metadata)
    assert clinic.queue.ages == [70]


async def test_a_repeated_step_says_the_same_age(clinic: Clinic) -> None:
    """Also by another process, when whom the card names is erased already."""
    clinic.reader.reading = card(tanggal_lahir=BORN)
    clinic.queue.refusal = unavailable("down", "QUEUE_DOWN")
    async with clinic.serve() as stub:
        draft, metadata = await upload(stub)
        confirm = clinic.confirm_request(draft.id)
        await stub.ConfirmRegistration(confirm, metadata=metadata)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await clinic.queue.arrived.wait()
    assert clinic.rows("SELECT state, identity FROM registrations") == [("ACCOUNT_READY", None)]
    clinic.queue.refusal = None
    async with asyncio.timeout(PATIENCE_SECONDS), clinic.serve() as stub:
        await state_becomes(stub, draft.id, metadata, COMPLETED)
    assert len(clinic.queue.ages) > 1
    assert set(clinic.queue.ages) == {70}

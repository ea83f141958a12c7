"""The repositories, on every kind of database."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from alembic import command
from mediq.ocr.v1.registration_service_pb2 import ConfirmRegistrationRequest
from sqlalchemy import create_engine, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mesh.audit_trail.recorder import AuditRecorder, relayed_by_the_service
from mesh.clock import utc_now
from mesh.encryption.field_cipher import DecryptionError, FieldCipher
from mesh.errors import StatusCode
from mesh.persistence.database import Database
from mesh.persistence.migrations import config_for, upgrade
from ocr_svc.application.confirm_registration import confirm_draft
from ocr_svc.application.unit_of_work import UnitOfWork
from ocr_svc.domain.draft import Content, Correction, Draft
from ocr_svc.domain.reading import CardWarning, ReadField, Reading
from ocr_svc.domain.registration import Identity, Registration, State
from ocr_svc.persistence.draft_repository import KEPT_HOURS, DraftRepository
from ocr_svc.persistence.models import AUDIT, DraftRow, RegistrationRow
from ocr_svc.persistence.registration_repository import RegistrationRepository
from tests.support.backends.databases import on_empty

NOW = datetime.datetime(2026, 3, 2, 9, 0, 0, 123456, tzinfo=datetime.UTC)
LATER = NOW + datetime.timedelta(seconds=10)
READING = Reading(
    "DOCUMENT_TYPE_KTP",
    {
        "nik": ReadField(
            "3273014107900001",
            "327301 4107900001",
            0.625,
            "FIELD_REASON_REPAIRED",
            ((0.1, 0.2), (0.4, 0.2), (0.4, 0.3), (0.1, 0.3)),
        )
    },
    (CardWarning("GLARE", "", "Silau: ulangi.", "Glare: once more."),),
)
CONTENT = Content(
    READING, READING.warnings, (Correction("nama", "", "SITI", NOW),), {str(uuid4()): "f" * 64}
)
AGE = 64
CIPHER = FieldCipher("a", {"a": b"k" * 32}, b"i" * 32)
FIRST_REVISION = "ba76bbdfdede"
IDENTITY = Identity("3273014107900001", "SITI", "BANDUNG", "01-07-1990", "PEREMPUAN", "JL. A")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    found = Database(database_url, 4)
    yield found
    await found.close()


def drafts(session: Session) -> DraftRepository:
    return DraftRepository(session, CIPHER)


def registrations(session: Session) -> RegistrationRepository:
    return RegistrationRepository(session, CIPHER)


def new_draft(minutes: float = 30) -> Draft:
    return Draft(str(uuid4()), NOW + datetime.timedelta(minutes=minutes), 1, CONTENT)


async def add(database: Database, draft: Draft, request_id: str = "") -> Draft:
    await database.write(lambda session: drafts(session).add(draft, request_id, "0" * 64, NOW))
    return draft


async def confirm(database: Database, draft: Draft, made: Registration) -> bool:
    recorder = AuditRecorder(AUDIT, database, CIPHER, relayed_by_the_service, utc_now)
    return await database.write(
        lambda session: confirm_draft(
            UnitOfWork(session, CIPHER, recorder),
            draft,
            made,
            IDENTITY,
            NOW,
            ConfirmRegistrationRequest(),
        )
    )


async def confirmed(database: Database) -> Registration:
    draft = await add(database, new_draft())
    ids = [str(uuid4()) for _ in range(4)]
    made = Registration(ids[0], draft.id, ids[1], ids[2], ids[3], NOW, age_years=AGE)
    assert await confirm(database, draft, made)
    return made


async def test_a_draft_comes_back_as_it_was(database: Database) -> None:
    key = str(uuid4())
    draft = await add(database, new_draft(), key)
    assert await database.read(lambda session: drafts(session).get(draft.id)) == draft
    assert await database.read(lambda session: drafts(session).of_upload(key)) == (
        draft,
        "0" * 64,
    )
    with pytest.raises(IntegrityError):
        await add(database, new_draft(), key)
    await add(database, new_draft())
    await add(database, new_draft())


async def test_a_draft_of_an_older_release_can_be_read(database: Database) -> None:
    """Its content knows no reasons, no polygons and no English."""
    draft = await add(database, new_draft())
    content = {
        "reading": {
            "document_type": "DOCUMENT_TYPE_KTP",
            "fields": {"nik": {"value": "1", "raw_value": "l", "confidence": 0.5}},
            "warnings": [{"reason": "GLARE", "field": "", "message": "Silau."}],
        },
        "warnings": [],
        "corrections": [],
        "updates": {},
    }
    ciphertext = CIPHER.encrypt(json.dumps(content).encode(), f"drafts/{draft.id}/reading")
    await database.write(
        lambda session: session.execute(update(DraftRow).values(reading=ciphertext))
    )
    found = await database.read(lambda session: drafts(session).get(draft.id))
    assert found is not None
    assert found.content == Content(
        Reading(
            "DOCUMENT_TYPE_KTP",
            {"nik": ReadField("1", "l", 0.5)},
            (CardWarning("GLARE", "", "Silau."),),
        ),
        (),
    )


async def test_a_change_from_an_old_version_does_nothing(database: Database) -> None:
    draft = await add(database, new_draft())

    def replace(session: Session) -> bool:
        return drafts(session).replace_content(draft, CONTENT)

    assert await database.write(replace)
    assert not await database.write(replace)
    made = Registration(str(uuid4()), draft.id, str(uuid4()), str(uuid4()), str(uuid4()), NOW)
    assert not await confirm(database, draft, made)
    assert await database.read(lambda session: registrations(session).of_draft(draft.id)) is None


async def test_drafts_are_erased_and_then_forgotten(database: Database) -> None:
    draft = await add(database, new_draft(minutes=1))
    kept = await add(database, new_draft(minutes=KEPT_HOURS * 60 + 30))

    async def after(**time: float) -> Draft | None:
        moment = NOW + datetime.timedelta(**time)
        await database.write(lambda session: drafts(session).erase_ended(moment))
        return await database.read(lambda session: drafts(session).get(draft.id))

    assert await after(seconds=59) == draft
    erased = await after(seconds=61)
    assert erased is not None
    assert erased.content is None
    assert await after(hours=KEPT_HOURS, minutes=2) is None
    assert await database.read(lambda session: drafts(session).get(kept.id)) == kept


async def test_who_lost_the_lease_changes_nothing(database: Database) -> None:
    made = await confirmed(database)
    until = LATER + datetime.timedelta(seconds=10)
    await database.write(lambda session: registrations(session).claim(made.id, "first", NOW, LATER))
    await database.write(
        lambda session: registrations(session).claim(made.id, "second", LATER, until)
    )
    await database.write(
        lambda session: registrations(session).fail(
            made.id, "first", StatusCode.INTERNAL, "X", LATER
        )
    )
    found = await database.read(lambda session: registrations(session).get(made.id))
    assert found.state is State.CONFIRMED


async def test_from_step_to_step(database: Database) -> None:
    made = await confirmed(database)
    await database.write(lambda session: registrations(session).claim(made.id, "me", NOW, LATER))
    assert await database.read(lambda session: registrations(session).identity(made.id)) == IDENTITY
    await database.write(
        lambda session: registrations(session).reschedule(made.id, "me", LATER, NOW)
    )
    assert await database.read(lambda session: registrations(session).due(NOW, 9)) == []
    assert await database.read(lambda session: registrations(session).due(LATER, 9)) == [made.id]
    await database.write(lambda session: registrations(session).claim(made.id, "me", NOW, LATER))
    user_id = str(uuid4())
    await database.write(
        lambda session: registrations(session).set_account(made.id, "me", user_id, NOW)
    )
    with pytest.raises(DecryptionError):
        await database.read(lambda session: registrations(session).identity(made.id))
    ready = await database.read(lambda session: registrations(session).get(made.id))
    assert (ready.state, ready.age_years) == (State.ACCOUNT_READY, AGE)
    await database.write(
        lambda session: registrations(session).complete(made.id, "me", b"ticket", NOW)
    )
    found = await database.read(lambda session: registrations(session).of_draft(made.draft_id))
    assert found is not None
    assert (found.state, found.user_id, found.ticket) == (State.COMPLETED, user_id, b"ticket")
    assert (found.attempts, found.consent_time, found.lease_until) == (0, NOW, None)
    assert await ages(database) == [None]
    claimed = await database.write(
        lambda session: registrations(session).claim(made.id, "me", LATER, LATER)
    )
    assert claimed is None


async def ages(database: Database) -> list[bytes | None]:
    return list(
        await database.read(lambda session: session.scalars(select(RegistrationRow.age)).all())
    )


async def test_the_age_is_encrypted_and_goes_with_a_failure(database: Database) -> None:
    made = await confirmed(database)
    (ciphertext,) = await ages(database)
    assert ciphertext is not None
    assert str(AGE).encode() not in ciphertext
    await database.write(lambda session: registrations(session).claim(made.id, "me", NOW, LATER))
    await database.write(
        lambda session: registrations(session).fail(made.id, "me", StatusCode.ABORTED, "X", NOW)
    )
    assert await ages(database) == [None]
    found = await database.read(lambda session: registrations(session).get(made.id))
    assert found.age_years == 0


@on_empty
async def test_a_registration_of_the_first_release_goes_on_without_an_age(
    database_url: str,
) -> None:
    await asyncio.to_thread(upgrade, "ocr_svc", database_url, FIRST_REVISION)
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO registrations (id, draft_id, request_id, institution_id, service_id,"
                " consent_time, state, user_id, failure_kind, failure_reason, attempts,"
                " next_attempt_time, lease_owner, update_time) VALUES ('r', 'd', 'q', 'i', 's',"
                " '2026-03-02 09:00:00', 'ACCOUNT_READY', 'u', '', '', 0,"
                " '2026-03-02 09:00:00', '', '2026-03-02 09:00:00')"
            )
        )
    engine.dispose()
    await asyncio.to_thread(upgrade, "ocr_svc", database_url)
    database = Database(database_url, 1)
    found = await database.read(lambda session: registrations(session).get("r"))
    assert (found.state, found.user_id, found.age_years) == (State.ACCOUNT_READY, "u", 0)
    assert (found.consent_version, found.consent_purposes) == ("", ())
    await database.close()


def test_the_migrations_are_the_models(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    upgrade("ocr_svc", url)
    command.check(config_for("ocr_svc", url))

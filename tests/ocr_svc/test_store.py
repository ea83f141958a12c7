"""The repository, on every kind of database."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from alembic import command
from sqlalchemy import create_engine, select, text, update
from sqlalchemy.exc import IntegrityError

from mesh.encryption.field_cipher import DecryptionError, FieldCipher
from mesh.errors import StatusCode
from mesh.persistence.database import Database
from mesh.persistence.migrations import config_for, upgrade
from ocr_svc.domain.draft import Content, Correction, Draft
from ocr_svc.domain.reading import CardWarning, ReadField, Reading
from ocr_svc.domain.registration import Identity, Registration, State
from ocr_svc.persistence.registrations import KEPT_HOURS, DraftRow, RegistrationRow, Repository
from tests.support.databases import on_empty

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
FIRST_REVISION = "ba76bbdfdede"
IDENTITY = Identity("3273014107900001", "SITI", "BANDUNG", "01-07-1990", "PEREMPUAN", "JL. A")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    found = Database(database_url, 4)
    yield found
    await found.close()


@pytest.fixture
def repository() -> Repository:
    return Repository(FieldCipher("a", {"a": b"k" * 32}, b"i" * 32))


def new_draft(minutes: float = 30) -> Draft:
    return Draft(str(uuid4()), NOW + datetime.timedelta(minutes=minutes), 1, CONTENT)


async def add(
    database: Database, repository: Repository, draft: Draft, request_id: str = ""
) -> Draft:
    await database.write(
        lambda session: repository.add_draft(session, draft, request_id, "0" * 64, NOW)
    )
    return draft


async def confirmed(database: Database, repository: Repository) -> Registration:
    draft = await add(database, repository, new_draft())
    ids = [str(uuid4()) for _ in range(4)]
    made = Registration(ids[0], draft.id, ids[1], ids[2], ids[3], NOW, age_years=AGE)
    assert await database.write(
        lambda session: repository.confirm(session, draft, made, IDENTITY, NOW)
    )
    return made


async def test_a_draft_comes_back_as_it_was(database: Database, repository: Repository) -> None:
    key = str(uuid4())
    draft = await add(database, repository, new_draft(), key)
    assert await database.read(lambda session: repository.draft(session, draft.id)) == draft
    assert await database.read(lambda session: repository.uploaded(session, key)) == (
        draft,
        "0" * 64,
    )
    with pytest.raises(IntegrityError):
        await add(database, repository, new_draft(), key)
    await add(database, repository, new_draft())
    await add(database, repository, new_draft())


async def test_a_draft_of_an_older_release_can_be_read(
    database: Database, repository: Repository
) -> None:
    """Its content knows no reasons, no polygons and no English."""
    draft = await add(database, repository, new_draft())
    cipher = FieldCipher("a", {"a": b"k" * 32}, b"i" * 32)
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
    sealed = cipher.encrypt(json.dumps(content).encode(), f"drafts/{draft.id}/reading")
    await database.write(lambda session: session.execute(update(DraftRow).values(reading=sealed)))
    found = await database.read(lambda session: repository.draft(session, draft.id))
    assert found is not None
    assert found.content == Content(
        Reading(
            "DOCUMENT_TYPE_KTP",
            {"nik": ReadField("1", "l", 0.5)},
            (CardWarning("GLARE", "", "Silau."),),
        ),
        (),
    )


async def test_a_change_from_an_old_version_does_nothing(
    database: Database, repository: Repository
) -> None:
    draft = await add(database, repository, new_draft())
    replace = partial(repository.replace_content, draft=draft, content=CONTENT)
    assert await database.write(replace)
    assert not await database.write(replace)
    made = Registration(str(uuid4()), draft.id, str(uuid4()), str(uuid4()), str(uuid4()), NOW)
    assert not await database.write(
        lambda session: repository.confirm(session, draft, made, IDENTITY, NOW)
    )
    assert (
        await database.read(lambda session: repository.registration_of(session, draft.id)) is None
    )


async def test_drafts_are_erased_and_then_forgotten(
    database: Database, repository: Repository
) -> None:
    draft = await add(database, repository, new_draft(minutes=1))
    kept = await add(database, repository, new_draft(minutes=KEPT_HOURS * 60 + 30))

    async def after(**time: float) -> Draft | None:
        moment = NOW + datetime.timedelta(**time)
        await database.write(lambda session: repository.erase_ended(session, moment))
        return await database.read(lambda session: repository.draft(session, draft.id))

    assert await after(seconds=59) == draft
    erased = await after(seconds=61)
    assert erased is not None
    assert erased.content is None
    assert await after(hours=KEPT_HOURS, minutes=2) is None
    assert await database.read(lambda session: repository.draft(session, kept.id)) == kept


async def test_one_lease_at_a_time(database: Database, repository: Repository) -> None:
    made = await confirmed(database, repository)

    async def claim(owner: str, now: datetime.datetime = NOW) -> bool:
        found = await database.write(
            lambda session: repository.claim(
                session, made.id, owner, now, now + datetime.timedelta(seconds=10)
            )
        )
        return found is not None

    won = await asyncio.gather(*(claim(f"owner-{number}") for number in range(8)))
    assert sum(won) == 1
    winner = f"owner-{won.index(True)}"
    assert await database.read(lambda session: repository.due(session, NOW, 9)) == []
    assert await claim(winner)
    assert not await claim("another", LATER - datetime.timedelta(microseconds=1))
    assert await database.read(lambda session: repository.due(session, LATER, 9)) == [made.id]
    assert await claim("another", LATER)
    # Who lost the lease changes nothing.
    await database.write(
        lambda session: repository.failed(session, made.id, winner, StatusCode.INTERNAL, "X", LATER)
    )
    found = await database.read(lambda session: repository.get(session, made.id))
    assert found.state is State.CONFIRMED


async def test_from_step_to_step(database: Database, repository: Repository) -> None:
    made = await confirmed(database, repository)
    await database.write(lambda session: repository.claim(session, made.id, "me", NOW, LATER))
    assert await database.read(lambda session: repository.identity(session, made.id)) == IDENTITY
    await database.write(lambda session: repository.reschedule(session, made.id, "me", LATER, NOW))
    assert await database.read(lambda session: repository.due(session, NOW, 9)) == []
    assert await database.read(lambda session: repository.due(session, LATER, 9)) == [made.id]
    await database.write(lambda session: repository.claim(session, made.id, "me", NOW, LATER))
    user_id = str(uuid4())
    await database.write(
        lambda session: repository.account_ready(session, made.id, "me", user_id, NOW)
    )
    with pytest.raises(DecryptionError):
        await database.read(lambda session: repository.identity(session, made.id))
    ready = await database.read(lambda session: repository.get(session, made.id))
    assert (ready.state, ready.age_years) == (State.ACCOUNT_READY, AGE)
    await database.write(
        lambda session: repository.completed(session, made.id, "me", b"ticket", NOW)
    )
    found = await database.read(lambda session: repository.registration_of(session, made.draft_id))
    assert found is not None
    assert (found.state, found.user_id, found.ticket) == (State.COMPLETED, user_id, b"ticket")
    assert (found.attempts, found.consent_time, found.lease_until) == (0, NOW, None)
    assert await ages(database) == [None]
    claimed = await database.write(
        lambda session: repository.claim(session, made.id, "me", LATER, LATER)
    )
    assert claimed is None


async def ages(database: Database) -> list[bytes | None]:
    return list(
        await database.read(lambda session: session.scalars(select(RegistrationRow.age)).all())
    )


async def test_the_age_is_sealed_and_goes_with_a_failure(
    database: Database, repository: Repository
) -> None:
    made = await confirmed(database, repository)
    (sealed,) = await ages(database)
    assert sealed is not None
    assert str(AGE).encode() not in sealed
    await database.write(lambda session: repository.claim(session, made.id, "me", NOW, LATER))
    await database.write(
        lambda session: repository.failed(session, made.id, "me", StatusCode.ABORTED, "X", NOW)
    )
    assert await ages(database) == [None]
    found = await database.read(lambda session: repository.get(session, made.id))
    assert found.age_years == 0


@on_empty
async def test_a_registration_of_the_first_release_goes_on_without_an_age(
    database_url: str, repository: Repository
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
    found = await database.read(lambda session: repository.get(session, "r"))
    assert (found.state, found.user_id, found.age_years) == (State.ACCOUNT_READY, "u", 0)
    assert (found.consent_version, found.consent_purposes) == ("", ())
    await database.close()


def test_the_migrations_are_the_models(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    upgrade("ocr_svc", url)
    command.check(config_for("ocr_svc", url))

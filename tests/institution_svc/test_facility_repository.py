"""The repository and its migrations, on every kind of database."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator
from functools import partial
from uuid import uuid4

import pytest
from alembic import command
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from institution_svc.application.facility_commands import (
    UpdateInstitution,
    UpdateService,
    update_institution,
    update_service,
)
from institution_svc.domain.facilities import (
    Changes,
    HealthcareService,
    Institution,
    Priority,
    PriorityRules,
    Rates,
    ServiceChanges,
    ServiceKind,
)
from institution_svc.persistence.facility_repository import FacilityRepository
from mesh.errors import MeshError
from mesh.persistence.database import Database
from mesh.persistence.migrations import config_for, upgrade
from tests.support.backends.databases import on_empty

NOW = datetime.datetime(2026, 3, 2, 9, 0, 0, 123456, tzinfo=datetime.UTC)
FIRST_REVISION = "eaaa3ec05c22"
OLD_INSTITUTION, OLD_SERVICE = str(uuid4()), str(uuid4())
OLD_ROWS = (
    "INSERT INTO institutions (id, name, city, address, time_zone, create_time, update_time)"
    f" VALUES ('{OLD_INSTITUTION}', 'RSUD', 'Palu', '', 'Asia/Makassar',"
    " '2026-03-02 09:00:00.123456', '2026-03-02 09:00:00.123456')",
    "INSERT INTO services (id, institution_id, name, prefix, service_minutes)"
    f" VALUES ('{OLD_SERVICE}', '{OLD_INSTITUTION}', 'Poli Umum', 'A', 12)",
)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    found = Database(database_url, 4)
    yield found
    await found.close()


def write_old_rows(url: str) -> None:
    """What a server of the first release writes."""
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in OLD_ROWS:
            connection.execute(text(statement))
    engine.dispose()


async def add_institution(database: Database) -> Institution:
    return await database.write(
        lambda session: FacilityRepository(session).add("RSUD", "Palu", "", "Asia/Makassar", NOW)
    )


def new_service(institution_id: str, name: str = "Farmasi", prefix: str = "F") -> HealthcareService:
    return HealthcareService(
        str(uuid4()),
        institution_id,
        name,
        prefix,
        10,
        ServiceKind.PHARMACY,
        Rates(999.999, 1 / 3, 1e-9),
        30,
        "07:30",
        "14:00",
    )


def add_service(session: Session, service: HealthcareService) -> HealthcareService:
    return FacilityRepository(session).add_service(service)


@on_empty
@pytest.mark.parametrize("is_upgraded_before", [False, True])
async def test_rows_of_the_first_release_have_the_usual_settings(
    database_url: str, is_upgraded_before: bool
) -> None:
    """Also those that it writes while the second one is being rolled out."""
    await asyncio.to_thread(upgrade, "institution_svc", database_url, FIRST_REVISION)
    if is_upgraded_before:
        await asyncio.to_thread(upgrade, "institution_svc", database_url)
    write_old_rows(database_url)
    if not is_upgraded_before:
        await asyncio.to_thread(upgrade, "institution_svc", database_url)
    database = Database(database_url, 2)
    institution = await database.read(
        lambda session: FacilityRepository(session).get(OLD_INSTITUTION)
    )
    assert institution == Institution(
        OLD_INSTITUTION, "RSUD", "Palu", "", "Asia/Makassar", NOW, NOW, PriorityRules()
    )
    service = await database.read(
        lambda session: FacilityRepository(session).service(OLD_INSTITUTION, OLD_SERVICE)
    )
    assert service == HealthcareService(
        OLD_SERVICE,
        OLD_INSTITUTION,
        "Poli Umum",
        "A",
        12,
        ServiceKind.CLINIC,
        Rates(4, 2, 1),
        60,
        "",
        "",
    )
    changes = ServiceChanges(name="Poli Anak", opens="08:00", closes="12:00")
    changed = await database.write(
        lambda session: update_service(
            FacilityRepository(session), UpdateService(OLD_INSTITUTION, OLD_SERVICE, changes), NOW
        )
    )
    assert (changed.name, changed.opens, changed.rates) == ("Poli Anak", "08:00", Rates(4, 2, 1))
    await database.close()


@on_empty
def test_a_downgrade_keeps_the_rows(database_url: str) -> None:
    upgrade("institution_svc", database_url)
    write_old_rows(database_url)
    command.downgrade(config_for("institution_svc", database_url), FIRST_REVISION)
    engine = create_engine(database_url)
    with engine.connect() as connection:
        found = connection.execute(text("SELECT id, service_minutes FROM services")).all()
    engine.dispose()
    assert [tuple(row) for row in found] == [(OLD_SERVICE, 12)]


@on_empty
def test_the_migrations_are_the_models(database_url: str) -> None:
    upgrade("institution_svc", database_url)
    command.check(config_for("institution_svc", database_url))


async def test_priority_rules_come_back_as_they_were(database: Database) -> None:
    made = await add_institution(database)
    rules = PriorityRules(70, None, Priority.NORMAL, None, Priority.HIGH)
    none = PriorityRules(60, None, None, None, None)

    async def stored(wanted: PriorityRules) -> PriorityRules:
        changes = Changes(priority_rules=wanted)
        await database.write(
            lambda session: update_institution(
                FacilityRepository(session), UpdateInstitution(made.id, changes), NOW
            )
        )
        found = await database.read(lambda session: FacilityRepository(session).get(made.id))
        return found.priority_rules

    assert made.priority_rules == PriorityRules()
    for wanted in (rules, none, PriorityRules()):
        assert await stored(wanted) == wanted


async def test_a_service_comes_back_as_it_was(database: Database) -> None:
    institution = await add_institution(database)
    service = new_service(institution.id)
    await database.write(partial(add_service, service=service))
    found = await database.read(
        lambda session: FacilityRepository(session).service(institution.id, service.id)
    )
    assert found == service
    assert found.kind is ServiceKind.PHARMACY


async def test_a_service_is_changed_in_place(database: Database) -> None:
    institution = await add_institution(database)
    service = new_service(institution.id)
    await database.write(partial(add_service, service=service))
    changes = ServiceChanges("Depo", 20, ServiceKind.OTHER, Rates(), 40, "08:00", "09:00")
    changed = await database.write(
        lambda session: update_service(
            FacilityRepository(session), UpdateService(institution.id, service.id, changes), NOW
        )
    )
    assert changed == HealthcareService(
        service.id,
        institution.id,
        "Depo",
        "F",
        20,
        ServiceKind.OTHER,
        Rates(),
        40,
        "08:00",
        "09:00",
    )
    found = await database.read(
        lambda session: FacilityRepository(session).services(institution.id, None, 9)
    )
    assert found == [changed]


async def test_names_and_prefixes_are_taken(database: Database) -> None:
    institution = await add_institution(database)
    other = new_service(institution.id, "Poli Umum", "A")
    for service in (new_service(institution.id), other):
        await database.write(partial(add_service, service=service))
    for again, reason in (
        (new_service(institution.id, "Farmasi", "X"), "SERVICE_NAME_TAKEN"),
        (new_service(institution.id, "X", "F"), "SERVICE_PREFIX_TAKEN"),
    ):
        with pytest.raises(MeshError) as error:
            await database.write(partial(add_service, service=again))
        assert error.value.reason == reason
    with pytest.raises(MeshError) as error:
        await database.write(
            lambda session: update_service(
                FacilityRepository(session),
                UpdateService(institution.id, other.id, ServiceChanges(name="Farmasi")),
                NOW,
            )
        )
    assert error.value.reason == "SERVICE_NAME_TAKEN"


async def test_two_updates_at_once_see_each_other(database: Database) -> None:
    institution = await add_institution(database)

    async def change(service_id: str, changes: ServiceChanges) -> str:
        try:
            await database.write(
                lambda session: update_service(
                    FacilityRepository(session),
                    UpdateService(institution.id, service_id, changes),
                    NOW,
                )
            )
        except MeshError as error:
            return error.reason
        return ""

    for attempt in range(10):
        service = new_service(institution.id, f"Farmasi {attempt}", f"F{chr(65 + attempt)}")
        await database.write(partial(add_service, service=service))
        reasons = await asyncio.gather(
            change(service.id, ServiceChanges(opens="12:00")),
            change(service.id, ServiceChanges(closes="11:00")),
        )
        assert sorted(reasons) == ["", "HOURS_INVALID"]

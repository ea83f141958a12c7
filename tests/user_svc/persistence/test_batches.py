"""Logins and profile reads that come at one moment, on every kind of database."""

from __future__ import annotations

import asyncio
import datetime
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import event, make_url, select, text, update
from sqlalchemy.orm import Session

from mesh.audit_trail.recorder import AuditRecorder
from mesh.clock import Clock, utc_now
from mesh.encryption.field_cipher import DecryptionError, FieldCipher
from mesh.errors import MeshError, StatusCode
from mesh.idempotency import Idempotency
from mesh.persistence.batching import ENOUGH
from mesh.persistence.database import Database
from tests.support.audit import Collector
from tests.support.waiting import PATIENCE_SECONDS
from tests.user_svc.conftest import new_nik
from user_svc.application.logins.patient_logins import Entered, PatientLogins
from user_svc.application.unit_of_work import UnitsOfWork
from user_svc.domain.accounts import Account, Person, Role
from user_svc.domain.login_throttle import FREE_TRIES
from user_svc.persistence.account_cipher import AccountCipher
from user_svc.persistence.account_repository import AccountRepository
from user_svc.persistence.audit_models import AUDIT_OUTBOX
from user_svc.persistence.burst_batcher import BurstBatcher
from user_svc.persistence.models import IDEMPOTENCY, UserRow
from user_svc.persistence.profile_loader import ProfileLoader
from user_svc.settings import UserSettings

NAME = "SITI RAHMAWATI"
REFUSED, THROTTLED = "INVALID_CREDENTIALS", "LOGIN_THROTTLED"
CIPHER = FieldCipher("k", {"k": bytes(32)}, bytes(range(32)))
ACCOUNT_CIPHER = AccountCipher(CIPHER)
GONE = (StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")


@dataclass
class Clinic:
    """A database with patients, without a server around it."""

    database: Database
    now: datetime.datetime = field(default_factory=utc_now)
    """What logins take for the time: nobody has waited long enough while a test runs."""

    def accounts(self, session: Session) -> AccountRepository:
        return AccountRepository(session, ACCOUNT_CIPHER)

    async def patients(self, count: int) -> list[Account]:
        people = [Person(role=Role.PASIEN, nama=NAME, nik=new_nik()) for _ in range(count)]
        return await self.database.write(
            lambda s: [self.accounts(s).ensure_patient(one, utc_now())[0] for one in people]
        )

    async def close(self, account: Account) -> None:
        await self.database.write(lambda s: self.accounts(s).close(account, utc_now()))

    async def damage(self, account: Account, other: Account) -> None:
        """Puts another account's encrypted name instead of its own: it does not decrypt there."""
        name = select(UserRow.nama).where(UserRow.id == other.id)
        await self.database.write(
            lambda s: s.execute(
                update(UserRow).where(UserRow.id == account.id).values(nama=s.scalar(name))
            )
        )

    async def failures(self) -> dict[str, int]:
        """Counted tries by login."""
        rows = await self.database.read(
            lambda s: s.execute(text("SELECT login_index, failures FROM login_attempts")).all()
        )
        return {row.login_index: row.failures for row in rows}

    def logins(self) -> PatientLogins:
        return logins_of(self.database, lambda: self.now)


def logins_of(database: Database, clock: Clock = utc_now) -> PatientLogins:
    recorder = AuditRecorder(AUDIT_OUTBOX, database, CIPHER, Collector().take, clock)
    idempotency = Idempotency(IDEMPOTENCY, CIPHER, database, recorder, clock)
    units = UnitsOfWork(database, CIPHER, UserSettings().session_rules, idempotency, clock)
    return PatientLogins(units, ACCOUNT_CIPHER, recorder)


@pytest.fixture
async def clinic(database_url: str) -> AsyncIterator[Clinic]:
    database = Database(database_url)
    yield Clinic(database)
    await database.close()


@pytest.fixture
async def gone(database_url: str, tmp_path: Path) -> AsyncIterator[Database]:
    """A database of the same kind that does not answer."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        (tmp_path / "folder.db").mkdir()
        url = url.set(database=str(tmp_path / "folder.db"))
    else:
        url = url.set(port=1)
    database = Database(url.render_as_string(hide_password=False))
    yield database
    await database.close()


async def settled(calls: Sequence[Awaitable[object]]) -> list[object]:
    """What calls at one moment give: an account, the reason of a known error, or another error."""
    found = await asyncio.gather(*calls, return_exceptions=True)
    known = [one.reason if isinstance(one, MeshError) else one for one in found]
    return [one.account_id if isinstance(one, Entered) else one for one in known]


class TestLogins:
    async def test_everybody_is_signed_in_as_themselves(self, clinic: Clinic) -> None:
        patients = await clinic.patients(150)
        logins = clinic.logins()
        found = await settled([logins.sign_in(one.nik, NAME.lower()) for one in patients])
        assert found == [one.id for one in patients]
        assert await clinic.failures() == {}

    async def test_a_burst_is_few_transactions(self, clinic: Clinic) -> None:
        patients = await clinic.patients(50)
        begun: list[object] = []
        event.listen(clinic.database.engine, "begin", begun.append)
        logins = clinic.logins()
        await asyncio.gather(*(logins.sign_in(one.nik, NAME) for one in patients))
        assert len(begun) <= 3

    async def test_guesses_at_one_nik_all_count(self, clinic: Clinic) -> None:
        (known,), unknown = await clinic.patients(1), new_nik()
        logins = clinic.logins()
        for nik in (known.nik, unknown):
            found = await settled([logins.sign_in(nik, f"TEBAKAN {n}") for n in range(20)])
            assert found == [REFUSED] * FREE_TRIES + [THROTTLED] * (20 - FREE_TRIES)
            assert (await clinic.failures())[ACCOUNT_CIPHER.nik_index(nik)] == FREE_TRIES
        assert await settled([logins.sign_in(known.nik, NAME)]) == [THROTTLED]

    async def test_replicas_count_together(self, clinic: Clinic) -> None:
        """Each replica has its own batches; the database is what they share."""
        (known,), unknown = await clinic.patients(1), new_nik()
        replicas = [clinic.logins() for _ in range(4)]
        for nik in (known.nik, unknown):
            found = await settled([replicas[n % 4].sign_in(nik, f"TEBAKAN {n}") for n in range(40)])
            assert Counter(found) == {REFUSED: FREE_TRIES, THROTTLED: 40 - FREE_TRIES}
            assert (await clinic.failures())[ACCOUNT_CIPHER.nik_index(nik)] == FREE_TRIES

    async def test_no_replica_overwrites_the_count_of_another(self, clinic: Clinic) -> None:
        patients = await clinic.patients(20)
        replicas = [clinic.logins() for _ in range(FREE_TRIES - 1)]
        await settled([replicas[0].sign_in(one.nik, "A") for one in patients])
        for one in patients:
            found = await settled([replica.sign_in(one.nik, "B") for replica in replicas])
            assert found == [REFUSED] * len(replicas)
        assert set((await clinic.failures()).values()) == {FREE_TRIES}

    async def test_tries_of_a_batch_follow_each_other(self, clinic: Clinic) -> None:
        (one,) = await clinic.patients(1)
        logins = clinic.logins()
        names = ["A"] * (FREE_TRIES - 1) + [NAME] + ["B"] * (FREE_TRIES + 1)
        found = await settled([logins.sign_in(one.nik, name) for name in names])
        wrong = [REFUSED] * (FREE_TRIES - 1)
        assert found == [*wrong, one.id, *wrong, REFUSED, THROTTLED]
        assert list((await clinic.failures()).values()) == [FREE_TRIES]

    async def test_a_success_clears_only_its_own_count(self, clinic: Clinic) -> None:
        first, second = await clinic.patients(2)
        logins = clinic.logins()
        await settled([logins.sign_in(one.nik, "A") for one in (first, second, second)])
        found = await settled([logins.sign_in(first.nik, NAME), logins.sign_in(second.nik, "A")])
        assert found == [first.id, REFUSED]
        assert await clinic.failures() == {ACCOUNT_CIPHER.nik_index(second.nik): 3}

    async def test_one_who_fails_fails_alone(self, clinic: Clinic) -> None:
        good, closed, damaged, guessed = await clinic.patients(4)
        await clinic.close(closed)
        await clinic.damage(damaged, good)
        logins = clinic.logins()
        await settled([logins.sign_in(guessed.nik, "A") for _ in range(FREE_TRIES)])
        asked = [guessed.nik, damaged.nik, closed.nik, new_nik(), good.nik]
        found = await settled([logins.sign_in(nik, NAME) for nik in asked])
        assert isinstance(found.pop(1), DecryptionError)
        assert found == [THROTTLED, REFUSED, REFUSED, good.id]
        index = ACCOUNT_CIPHER.nik_index
        assert await clinic.failures() == {
            index(guessed.nik): FREE_TRIES,
            index(closed.nik): 1,
            index(asked[3]): 1,
        }

    async def test_what_fails_the_batch_fails_only_its_cause(self, clinic: Clinic) -> None:
        good, bad = (await clinic.patients(2)), new_nik()
        index = ACCOUNT_CIPHER.nik_index(bad)
        refuse = (
            f"BEGIN SELECT RAISE(ABORT, 'no') WHERE NEW.login_index = '{index}'; END"
            if clinic.database.engine.dialect.name == "sqlite"
            else f"FOR EACH ROW IF NEW.login_index = '{index}' THEN "
            "SIGNAL SQLSTATE '23000' SET MYSQL_ERRNO = 1062; END IF"
        )
        trigger = text(f"CREATE TRIGGER refuses BEFORE INSERT ON login_attempts {refuse}")
        await clinic.database.write(lambda s: s.execute(trigger))
        logins = clinic.logins()
        asked = [(good[0].nik, NAME), (bad, NAME), (good[1].nik, "A")]
        found = await settled([logins.sign_in(*one) for one in asked])
        assert found[::2] == [good[0].id, REFUSED]
        assert type(found[1]).__name__ == "IntegrityError"
        assert await clinic.failures() == {ACCOUNT_CIPHER.nik_index(good[1].nik): 1}

    async def test_without_a_database_nobody_gets_in(self, gone: Database) -> None:
        logins = logins_of(gone)
        calls = [logins.sign_in(new_nik(), NAME) for _ in range(5)]
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert [(one.kind, one.reason) for one in found if isinstance(one, MeshError)] == [GONE] * 5


class TestProfiles:
    async def test_everybody_reads_their_own(self, clinic: Clinic) -> None:
        patients = await clinic.patients(100)
        staff = Person(role=Role.OPERATOR, nama="Budi", email="budi@x.id", institution_id="f")
        patients.append(
            await clinic.database.write(
                lambda s: clinic.accounts(s).create(staff, "hash", utc_now())
            )
        )
        reads = ProfileLoader(clinic.database, ACCOUNT_CIPHER)
        begun: list[object] = []
        event.listen(clinic.database.engine, "begin", begun.append)
        found = await settled([reads.get(one.id) for one in [*patients, *patients[:5]]])
        assert found == [*patients, *patients[:5]]
        assert len(begun) <= 4

    async def test_one_who_fails_fails_alone(self, clinic: Clinic) -> None:
        good, closed, damaged = await clinic.patients(3)
        await clinic.close(closed)
        await clinic.damage(damaged, good)
        reads = ProfileLoader(clinic.database, ACCOUNT_CIPHER)
        asked = [damaged.id, closed.id, "nobody", good.id]
        found = await settled([reads.get(one) for one in asked])
        assert isinstance(found[0], DecryptionError)
        assert found[1:] == ["USER_NOT_FOUND", "USER_NOT_FOUND", good]

    async def test_a_change_counts_for_the_next_read(self, clinic: Clinic) -> None:
        one, other = await clinic.patients(2)
        reads = ProfileLoader(clinic.database, ACCOUNT_CIPHER)
        assert await settled([reads.get(one.id), reads.get(other.id)]) == [one, other]
        changed = await clinic.database.write(
            lambda s: clinic.accounts(s).set_role(one.id, Role.OPERATOR, utc_now())
        )
        await clinic.close(other)
        found = await settled([reads.get(one.id), reads.get(other.id)])
        assert found == [changed, "USER_NOT_FOUND"]

    async def test_without_a_database_each_gets_the_error(self, gone: Database) -> None:
        reads = ProfileLoader(gone, ACCOUNT_CIPHER)
        found = await asyncio.gather(*(reads.get(f"{n}") for n in range(5)), return_exceptions=True)
        assert [(one.kind, one.reason) for one in found if isinstance(one, MeshError)] == [GONE] * 5


class TestWaiting:
    @staticmethod
    def batcher(batches: list[list[str]], linger_seconds: float) -> BurstBatcher[str, str]:
        async def run(items: Sequence[str]) -> Sequence[str | Exception]:
            batches.append(list(items))
            return list(items)

        return BurstBatcher(run, 64, linger_seconds)

    async def test_after_several_the_next_batch_waits_for_the_burst(self) -> None:
        batches: list[list[str]] = []
        batcher = self.batcher(batches, PATIENCE_SECONDS)
        await asyncio.gather(*(batcher.submit("key", one) for one in "ab"))
        burst = [f"item {number}" for number in range(ENOUGH)]
        early = [asyncio.create_task(batcher.submit("key", one)) for one in burst[:2]]
        for _ in range(10):
            await asyncio.sleep(0)
        assert batches == [["a", "b"]]
        await asyncio.gather(*early, *(batcher.submit("key", one) for one in burst[2:]))
        assert batches == [["a", "b"], burst]

    async def test_who_comes_alone_waits_for_nobody(self) -> None:
        batches: list[list[str]] = []
        batcher = self.batcher(batches, 10 * PATIENCE_SECONDS)
        async with asyncio.timeout(PATIENCE_SECONDS):
            for one in "abc":
                await batcher.submit("key", one)
        assert batches == [["a"], ["b"], ["c"]]

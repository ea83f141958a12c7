"""ErasePatient: what is closed, what is kept for a time, and that nothing is left in the end."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import grpc
import pytest
from mediq.user.v1 import auth_service_pb2 as logins
from mediq.user.v1 import user_service_pb2 as users
from mediq.user.v1.user_pb2 import User
from sqlalchemy import MetaData, select, text

from mesh.contract.status import from_rpc_error
from mesh.encryption.field_cipher import FieldCipher
from tests.support.mesh import problem
from tests.user_svc.conftest import NAME, World, new_nik
from tests.user_svc.counter import DETAILS, UNKNOWN, Counter
from user_svc.domain.identity import mask_nik
from user_svc.persistence.account_cipher import AccountCipher
from user_svc.persistence.models import PERSONAL_COLUMNS

REUSED = ("ALREADY_EXISTS", "REQUEST_ID_REUSED")


@pytest.fixture
def counter(world: World) -> Counter:
    return Counter(world)


def cipher_of(world: World) -> FieldCipher:
    return FieldCipher.load(world.settings.keys, "user_svc")


def opened(world: World, *names: str) -> str:
    """All that tables hold (every one if none is named), opened by the service's own keys."""
    cipher, tables, found = cipher_of(world), MetaData(), []
    tables.reflect(world.engine)
    with world.engine.connect() as connection:
        for name in names or tables.tables:
            for row in connection.execute(select(tables.tables[name])).mappings():
                owner = row.get("id") or row.get("user_id")
                for column, value in row.items():
                    associated_data = f"{name}/{owner}/{column}"
                    if name == "idempotency":
                        associated_data = f"{row['scope']}/{row['request_id']}"
                    elif "event_id" in row:
                        associated_data = f"audit/{row['event_id']}"
                    encrypted = isinstance(value, bytes)
                    found.append(
                        repr(cipher.decrypt(value, associated_data) if encrypted else value)
                    )
    return "\n".join(found)


async def failed_login(world: World, nik: str) -> None:
    await problem(world.auth.LoginUser(logins.LoginUserRequest(nik=nik, name="BUKAN NAMANYA")))


async def lived(counter: Counter, nik: str) -> tuple[User, list[str]]:
    """A patient who left traces wherever a patient can, and what must not be found afterwards."""
    first, name = new_nik(), "RATNA DEWI"
    patient = await counter.patient(first, name)
    await Counter(counter.world).patient(first, name)
    await counter.correct(
        patient.id, counter.operator, str(uuid4()), nik=nik, alamat="JL. KENANGA 1"
    )
    await failed_login(counter.world, nik)
    return patient, [
        nik,
        name,
        mask_nik(first),
        mask_nik(nik),
        AccountCipher(cipher_of(counter.world)).nik_index(nik),
        "JL. KENANGA 1",
        DETAILS["tempat_lahir"],
        DETAILS["tanggal_lahir"],
        DETAILS["jenis_kelamin"],
    ]


class TestErased:
    async def test_nothing_of_the_person_is_left(self, counter: Counter) -> None:
        patient, traces = await lived(counter, new_nik())
        before = opened(counter.world)
        for trace in traces:
            assert trace in before, trace
        await counter.erase(patient.id)
        after = opened(counter.world)
        for trace in traces:
            assert trace not in after, trace
        columns = ", ".join((*PERSONAL_COLUMNS, "nik_index", "email_index", "password_hash"))
        ((*row,),) = counter.world.sql(f"SELECT {columns} FROM users WHERE id = :id", id=patient.id)
        assert row == [None] * 10
        assert counter.world.sql("SELECT COUNT(*) FROM patient_institutions") == [(0,)]

    async def test_the_row_stays_as_a_shell(self, counter: Counter) -> None:
        patient = await counter.patient()
        await counter.erase(patient.id.upper())
        ((role, made, closed, erased),) = counter.world.sql(
            "SELECT role, create_time, close_time, erase_time FROM users WHERE id = :id",
            id=patient.id,
        )
        assert role == "PASIEN"
        assert made < closed == erased
        for call in (
            counter.record(patient.id),
            counter.reveal(patient.id),
            counter.tickets_session(patient.id),
            counter.world.users.GetUser(
                users.GetUserRequest(id=patient.id), metadata=counter.world.network_admin
            ),
        ):
            assert await problem(call) == UNKNOWN
        listed = await counter.world.users.ListUsers(
            users.ListUsersRequest(), metadata=counter.world.network_admin
        )
        assert not listed.users

    async def test_others_stay_as_they_are(self, counter: Counter) -> None:
        nik, key = new_nik(), str(uuid4())
        other = await counter.world.ensure(
            nik, request_id=key, institution_id=counter.institution_id
        )
        record = await counter.record(other.user.id)
        await failed_login(counter.world, nik)
        patient, _ = await lived(counter, new_nik())
        await counter.erase(patient.id)
        assert await counter.record(other.user.id) == record
        assert counter.world.sql("SELECT COUNT(*) FROM login_attempts") == [(1,)]
        again = await counter.world.ensure(
            nik, request_id=key, institution_id=counter.institution_id
        )
        assert again == other

    async def test_the_same_person_comes_again(self, counter: Counter) -> None:
        nik, key = new_nik(), str(uuid4())
        first = await counter.world.ensure(nik, request_id=key)
        await counter.erase(first.user.id)
        refused = ("UNAUTHENTICATED", "INVALID_CREDENTIALS")
        login = logins.LoginUserRequest(nik=nik, name=NAME)
        assert await problem(counter.world.auth.LoginUser(login)) == refused
        # Under the old key too: the old answer would name an account that is gone.
        second = await counter.world.ensure(nik, request_id=key)
        assert second.created
        assert second.user.id != first.user.id
        assert not (await counter.world.ensure(nik)).created

    async def test_what_does_not_decrypt_is_in_nobodys_way(self, counter: Counter) -> None:
        patient, other = await counter.patient(), await counter.patient()
        counter.world.sql("UPDATE users SET nik = nama WHERE id = :id", id=patient.id)
        lost = str(uuid4())
        await counter.world.ensure(new_nik(), request_id=lost)
        counter.world.sql(
            "UPDATE idempotency SET answer = :damaged WHERE request_id = :id",
            damaged=b"damaged",
            id=lost,
        )
        await counter.erase(patient.id)
        assert counter.world.sql("SELECT COUNT(*) FROM users WHERE nama IS NULL") == [(1,)]
        assert counter.world.sql("SELECT nama FROM users WHERE id = :id", id=patient.id) == [
            (None,)
        ]
        assert (await counter.record(other.id)).user == other


class TestRetained:
    async def test_closed_and_out_of_sight_until_it_is_erased(self, counter: Counter) -> None:
        nik, erasure = new_nik(), str(uuid4())
        patient, traces = await lived(counter, nik)
        await counter.erase(patient.id, retained=True, request_id=erasure)
        ((encrypted, index, closed, erased),) = counter.world.sql(
            "SELECT nik, nik_index, close_time, erase_time FROM users WHERE id = :id",
            id=patient.id,
        )
        opened_nik = cipher_of(counter.world).decrypt(encrypted, f"users/{patient.id}/nik")
        assert opened_nik.decode() == nik
        assert (index, erased) == (None, None)
        assert closed is not None
        assert counter.world.sql("SELECT COUNT(*) FROM patient_institutions") == [(2,)]
        for call in (counter.record(patient.id), counter.reveal(patient.id)):
            assert await problem(call) == UNKNOWN
        second = await counter.patient(nik)
        assert second.id != patient.id
        # The erasure that closed it is the one that erases it, when its time has come.
        await counter.erase(patient.id, request_id=erasure)
        await counter.erase(second.id)
        after = opened(counter.world)
        for trace in traces:
            assert trace not in after, trace
        ((still,),) = counter.world.sql(
            "SELECT close_time FROM users WHERE id = :id", id=patient.id
        )
        assert still == closed

    async def test_an_account_that_an_administrator_closed(self, counter: Counter) -> None:
        patient, traces = await lived(counter, new_nik())
        await counter.world.users.DeleteUser(
            users.DeleteUserRequest(id=patient.id), metadata=counter.world.network_admin
        )
        closed = counter.world.sql("SELECT close_time FROM users WHERE id = :id", id=patient.id)
        await counter.erase(patient.id, retained=True)
        assert closed == counter.world.sql(
            "SELECT close_time FROM users WHERE id = :id", id=patient.id
        )
        await counter.erase(patient.id)
        after = opened(counter.world)
        for trace in traces:
            assert trace not in after, trace

    async def test_retaining_gives_nothing_back(self, counter: Counter) -> None:
        patient = await counter.patient()
        await counter.erase(patient.id)
        before = counter.world.sql("SELECT * FROM users")
        await counter.erase(patient.id, retained=True)
        await counter.erase(patient.id)
        assert counter.world.sql("SELECT * FROM users") == before


class TestRequests:
    async def test_a_repetition_is_no_error(self, counter: Counter) -> None:
        patient, erasure = await counter.patient(), str(uuid4())
        for _ in range(2):
            await counter.erase(patient.id, request_id=erasure)
        other = await counter.patient()
        assert await problem(counter.erase(other.id, request_id=erasure)) == REUSED
        assert (await counter.record(other.id)).user == other

    @pytest.mark.parametrize("retained", [True, False])
    async def test_nobody_and_staff(self, counter: Counter, retained: bool) -> None:
        staff = await counter.world.create()
        for user_id in (str(uuid4()), staff.id):
            assert await problem(counter.erase(user_id, retained=retained)) == UNKNOWN
        await counter.world.login(staff.email)

    @pytest.mark.parametrize(
        "request_", [users.ErasePatientRequest(id=str(uuid4())), users.ErasePatientRequest()]
    )
    async def test_bad_requests(
        self, counter: Counter, request_: users.ErasePatientRequest
    ) -> None:
        call = counter.world.ocr_users.ErasePatient(request_)
        assert await problem(call) == ("INVALID_ARGUMENT", "INVALID_REQUEST")


class TestAtOnce:
    async def test_erasures(self, counter: Counter) -> None:
        patient, erasure = await counter.patient(), str(uuid4())
        calls = [counter.erase(patient.id) for _ in range(4)]
        calls += [counter.erase(patient.id, request_id=erasure) for _ in range(4)]
        calls += [counter.erase(patient.id, retained=True) for _ in range(2)]
        await asyncio.gather(*calls)
        assert counter.world.sql("SELECT COUNT(*) FROM users WHERE erase_time IS NULL") == [(0,)]

    async def test_what_is_being_written_is_waited_for(self, counter: Counter) -> None:
        """A field that was empty when the erasure began is erased as well."""
        patient = (await counter.world.ensure(new_nik())).user
        with counter.world.engine.begin() as connection:
            connection.execute(text("UPDATE users SET alamat = nama"))
            erasing = asyncio.create_task(counter.erase(patient.id))
            # A fault may be missed on a slow machine; a sound one never fails.
            await asyncio.sleep(0.3)
            assert not erasing.done()
        await erasing
        assert counter.world.sql("SELECT nama, alamat FROM users") == [(None, None)]

    async def test_a_registration_and_a_correction(self, counter: Counter) -> None:
        """Whoever wins, nothing is written to what has been erased."""
        for _ in range(5):
            nik, second = new_nik(), Counter(counter.world)
            patient = await counter.patient(nik)
            ensured, corrected, _ = await asyncio.gather(
                second.patient(nik),
                counter.correct(patient.id, counter.operator, str(uuid4()), alamat="JL. KENANGA 1"),
                counter.erase(patient.id),
                return_exceptions=True,
            )
            assert isinstance(ensured, User)
            if isinstance(corrected, grpc.aio.AioRpcError):
                assert from_rpc_error(corrected).reason == "USER_NOT_FOUND"
            ((nama, alamat),) = counter.world.sql(
                "SELECT nama, alamat FROM users WHERE id = :id", id=patient.id
            )
            assert (nama, alamat) == (None, None)
            assert counter.world.sql(
                "SELECT COUNT(*) FROM patient_institutions WHERE user_id = :id", id=patient.id
            ) == [(0,)]
            assert patient.id not in opened(counter.world, "idempotency")

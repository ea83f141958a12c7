"""CorrectPatient: what may be corrected, by which rules, and corrections at the same moment."""

from __future__ import annotations

import asyncio
import datetime
from uuid import uuid4

import grpc
import pytest
from mediq.user.v1 import auth_service_pb2 as logins
from mediq.user.v1.user_pb2 import User

from mesh.clock import utc_now
from mesh.contract.status import from_rpc_error
from mesh.errors import MeshError
from tests.support.mesh import problem
from tests.user_svc.conftest import NAME, World, new_nik
from tests.user_svc.counter import DETAILS, Counter
from user_svc.domain import patients

TAKEN = ("ALREADY_EXISTS", "NIK_TAKEN")


@pytest.fixture
def counter(world: World) -> Counter:
    return Counter(world)


async def known(counter: Counter, user_id: str) -> dict[str, str]:
    identity = (await counter.record(user_id)).identity
    return {field.name: value for field, value in identity.ListFields()}


async def login(world: World, nik: str, name: str) -> logins.NarrowSession:
    return await world.auth.LoginUser(logins.LoginUserRequest(nik=nik, name=name))


class TestFields:
    async def test_every_field(self, counter: Counter) -> None:
        patient, nik = await counter.patient(), new_nik()
        corrected = await counter.correct(
            patient.id.upper(),
            nik=nik,
            nama=" Siti   Rahayu ",
            tempat_lahir="  KOTA  LAIN",
            tanggal_lahir="29-02-1988",
            jenis_kelamin="LAKI-LAKI",
            alamat="JL.  KENANGA 1 ",
        )
        assert (corrected.id, corrected.nama) == (patient.id, "Siti Rahayu")
        assert corrected.masked_nik == f"{nik[:4]}********{nik[-4:]}"
        assert corrected.create_time == patient.create_time
        assert corrected.update_time.ToDatetime() > patient.update_time.ToDatetime()
        assert await known(counter, patient.id) == {
            "nik": nik,
            "nama": "Siti Rahayu",
            "tempat_lahir": "KOTA LAIN",
            "tanggal_lahir": "29-02-1988",
            "jenis_kelamin": "LAKI-LAKI",
            "alamat": "JL. KENANGA 1",
        }

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("nama", "SITI RAHAYU"),
            ("tempat_lahir", "KOTA LAIN"),
            ("tanggal_lahir", "01-01-1900"),
            ("jenis_kelamin", "LAKI-LAKI"),
            ("alamat", "JL. KENANGA 1"),
        ],
    )
    async def test_what_is_absent_stays(self, counter: Counter, name: str, value: str) -> None:
        nik = new_nik()
        patient = await counter.patient(nik)
        await counter.correct(patient.id, **{name: value})
        before = {"nik": nik, "nama": NAME, **DETAILS}
        assert await known(counter, patient.id) == {**before, name: value}

    async def test_a_field_that_was_not_known(self, counter: Counter) -> None:
        made = await counter.world.ensure(new_nik(), institution_id=counter.institution_id)
        await counter.correct(made.user.id, alamat="JL. KENANGA 1")
        assert (await known(counter, made.user.id))["alamat"] == "JL. KENANGA 1"

    async def test_the_same_again_changes_nothing(self, counter: Counter) -> None:
        nik = new_nik()
        patient = await counter.patient(nik)
        assert await counter.correct(patient.id, nik=nik, nama=NAME, **DETAILS) == patient

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({}, "NOTHING_TO_CORRECT"),
            ({"nik": "3201019908900001"}, "NIK_INVALID"),
            ({"nik": "3201015508900000"}, "NIK_INVALID"),
            ({"nik": ""}, "INVALID_REQUEST"),
            ({"nik": "320101"}, "INVALID_REQUEST"),
            ({"nama": " "}, "NAME_INVALID"),
            ({"nama": "x" * 61}, "INVALID_REQUEST"),
            ({"tempat_lahir": "  "}, "FIELD_BLANK"),
            ({"alamat": "\t"}, "FIELD_BLANK"),
            ({"alamat": ""}, "INVALID_REQUEST"),
            ({"tanggal_lahir": "30-02-1990"}, "NO_SUCH_DATE"),
            ({"tanggal_lahir": "31-12-1899"}, "NO_SUCH_DATE"),
            ({"tanggal_lahir": "1-1-1990"}, "INVALID_REQUEST"),
            ({"jenis_kelamin": "X"}, "INVALID_REQUEST"),
            ({"alamat": "JL. KENANGA 1", "nama": " "}, "NAME_INVALID"),
        ],
    )
    async def test_bad_corrections(
        self, counter: Counter, changes: dict[str, str], reason: str
    ) -> None:
        patient = await counter.patient()
        before = await counter.record(patient.id)
        call = counter.correct(patient.id, **changes)
        assert await problem(call) == ("INVALID_ARGUMENT", reason)
        assert await counter.record(patient.id) == before

    @pytest.mark.parametrize("name", sorted(set(patients.CORRECTABLE) - {"jenis_kelamin"}))
    def test_the_field_is_named(self, name: str) -> None:
        with pytest.raises(MeshError) as caught:
            patients.checked({name: " "}, datetime.date(2026, 3, 1))
        assert [one.field for one in caught.value.violations] == [name]

    async def test_nobody_is_born_tomorrow(self, counter: Counter) -> None:
        patient, today = await counter.patient(), utc_now()
        tomorrow = today + datetime.timedelta(days=1)
        call = counter.correct(patient.id, tanggal_lahir=f"{tomorrow:%d-%m-%Y}")
        assert await problem(call) == ("INVALID_ARGUMENT", "NO_SUCH_DATE")
        await counter.correct(patient.id, tanggal_lahir=f"{today:%d-%m-%Y}")

    async def test_every_field_is_encrypted_for_its_row(self, counter: Counter) -> None:
        first, second = await counter.patient(), await counter.patient(nama="BUDI SANTOSO")
        await counter.correct(first.id, alamat="JL. KENANGA 1")
        ((encrypted,),) = counter.world.sql("SELECT alamat FROM users WHERE id = :id", id=first.id)
        assert b"KENANGA" not in encrypted
        counter.world.sql(
            "UPDATE users SET alamat = :encrypted WHERE id = :id", encrypted=encrypted, id=second.id
        )
        assert await problem(counter.record(second.id)) == ("INTERNAL", "INTERNAL")


class TestNik:
    async def test_the_new_one_signs_in_and_the_old_one_is_free(self, counter: Counter) -> None:
        old, new = new_nik(), new_nik()
        patient = await counter.patient(old)
        await counter.correct(patient.id, nik=new, nama="SITI RAHAYU")
        refused = ("UNAUTHENTICATED", "INVALID_CREDENTIALS")
        for nik, name in ((old, NAME), (old, "SITI RAHAYU"), (new, NAME)):
            assert await problem(login(counter.world, nik, name)) == refused
        await login(counter.world, new, "SITI RAHAYU")
        assert not (await counter.world.ensure(new, "SITI RAHAYU")).created
        assert (await counter.world.ensure(old)).created

    async def test_one_that_another_account_has(self, counter: Counter) -> None:
        theirs = new_nik()
        await counter.world.ensure(theirs, "BUDI SANTOSO")
        patient = await counter.patient()
        before = await counter.record(patient.id)
        call = counter.correct(patient.id, nik=theirs, alamat="JL. KENANGA 1")
        assert await problem(call) == TAKEN
        assert await counter.record(patient.id) == before

    async def test_one_that_only_a_closed_account_had(self, counter: Counter) -> None:
        nik = new_nik()
        gone, patient = await counter.patient(nik), await counter.patient()
        await counter.erase(gone.id, retained=True)
        await counter.correct(patient.id, nik=nik)
        assert await counter.reveal(patient.id) == nik


class TestRepetition:
    async def test_a_repetition_gives_the_first_answer(self, counter: Counter) -> None:
        patient, key, operator = await counter.patient(), str(uuid4()), counter.operator
        first = await counter.correct(patient.id, operator, key, nama="SITI RAHAYU")
        await counter.correct(patient.id, nama="SITI RAHMA")
        assert await counter.correct(patient.id, operator, key, nama="SITI RAHAYU") == first
        assert (await known(counter, patient.id))["nama"] == "SITI RAHMA"
        other = counter.correct(patient.id, operator, key, nama="SITI")
        assert await problem(other) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")

    async def test_a_refusal_is_not_remembered(self, counter: Counter) -> None:
        theirs, key, operator = new_nik(), str(uuid4()), counter.operator
        other, patient = await counter.patient(theirs), await counter.patient()
        assert await problem(counter.correct(patient.id, operator, key, nik=theirs)) == TAKEN
        await counter.erase(other.id)
        await counter.correct(patient.id, operator, key, nik=theirs)
        assert await counter.reveal(patient.id) == theirs


class TestAtOnce:
    async def test_two_patients_and_one_nik(self, counter: Counter) -> None:
        for _ in range(5):
            pair, nik = [await counter.patient() for _ in range(2)], new_nik()
            found = await asyncio.gather(
                *(counter.correct(one.id, nik=nik) for one in pair), return_exceptions=True
            )
            (won,) = [one for one in found if isinstance(one, User)]
            (lost,) = [one for one in found if isinstance(one, grpc.aio.AioRpcError)]
            assert from_rpc_error(lost).reason == "NIK_TAKEN"
            assert await counter.reveal(won.id) == nik

    async def test_a_correction_and_a_registration_of_one_nik(self, counter: Counter) -> None:
        for _ in range(5):
            patient, nik = await counter.patient(), new_nik()
            corrected, ensured = await asyncio.gather(
                counter.correct(patient.id, nik=nik),
                counter.world.ensure(nik),
                return_exceptions=True,
            )
            assert not isinstance(ensured, BaseException)
            if isinstance(corrected, User):
                assert ensured.user.id == patient.id
            else:
                assert isinstance(corrected, grpc.aio.AioRpcError)
                assert from_rpc_error(corrected).reason == "NIK_TAKEN"
                assert ensured.created

    async def test_fields_of_one_patient(self, counter: Counter) -> None:
        """No correction writes over another one."""
        changes = {
            "nik": new_nik(),
            "nama": "SITI RAHAYU",
            "tempat_lahir": "KOTA LAIN",
            "tanggal_lahir": "29-02-1988",
            "jenis_kelamin": "LAKI-LAKI",
            "alamat": "JL. KENANGA 1",
        }
        patient = await counter.patient()
        await asyncio.gather(
            *(counter.correct(patient.id, **{name: new}) for name, new in changes.items())
        )
        assert await known(counter, patient.id) == changes

    async def test_one_correction_many_times(self, counter: Counter) -> None:
        patient, key, operator = await counter.patient(), str(uuid4()), counter.operator
        found = await asyncio.gather(
            *(counter.correct(patient.id, operator, key, alamat="JL. KENANGA 1") for _ in range(6))
        )
        assert len({one.update_time.ToNanoseconds() for one in found}) == 1

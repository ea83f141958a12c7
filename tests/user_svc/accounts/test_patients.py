from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from mediq.policy.v1.policy_pb2 import Role, Scope
from mediq.user.v1 import auth_service_pb2 as auth
from mediq.user.v1 import user_service_pb2 as users
from sqlalchemy import MetaData, select

from tests.support.mesh import problem
from tests.user_svc.conftest import NAME, World, new_email, new_nik


async def test_ensure_makes_one_account_and_masks_the_nik(world: World) -> None:
    nik = new_nik()
    made = await world.ensure(nik, f"  {NAME.replace(' ', '  ')} ", alamat="JL. MELATI 5")
    assert made.created
    assert made.user.nama == NAME
    assert made.user.masked_nik == f"{nik[:4]}********{nik[-4:]}"
    assert made.user.role == Role.ROLE_PASIEN
    assert (made.user.email, made.user.institution_id) == ("", "")
    again = await world.ensure(nik, NAME.lower())
    assert not again.created
    assert again.user == made.user


async def test_ensure_is_idempotent(world: World) -> None:
    nik, request_id = new_nik(), str(uuid4())
    first = await world.ensure(nik, request_id=request_id)
    second = await world.ensure(nik, request_id=request_id)
    assert first == second
    assert second.created
    other = world.ensure(new_nik(), request_id=request_id)
    assert await problem(other) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")


async def test_the_same_person_at_once_is_one_account(world: World) -> None:
    for _ in range(5):
        nik, shared = new_nik(), str(uuid4())
        calls = [world.ensure(nik) for _ in range(8)]
        calls += [world.ensure(nik, request_id=shared) for _ in range(4)]
        found = await asyncio.gather(*calls)
        assert len({one.user.id for one in found}) == 1
        assert len({one.created for one in found[8:]}) == 1
        makers = {one.created for one in found[8:]} if found[-1].created else set()
        assert sum(one.created for one in found[:8]) + len(makers) == 1
    assert world.sql("SELECT COUNT(*) FROM users") == [(5,)]


async def test_misread_letter_keeps_the_known_name(world: World) -> None:
    nik = new_nik()
    made = await world.ensure(nik)
    again = await world.ensure(nik, "SITI RAHMAWAT1")
    assert again.user == made.user


async def test_nik_of_somebody_else_is_refused(world: World) -> None:
    nik = new_nik()
    await world.ensure(nik)
    call = world.ensure(nik, "BUDI SANTOSO")
    assert await problem(call) == ("FAILED_PRECONDITION", "NIK_NAME_MISMATCH")


@pytest.mark.parametrize(
    ("nik", "nama", "alamat", "reason"),
    [
        ("3201019908900001", NAME, "", "NIK_INVALID"),
        ("320101550890", NAME, "", "INVALID_REQUEST"),
        ("3201015508900001", " ", "", "NAME_INVALID"),
        ("3201015508900001", "", "", "INVALID_REQUEST"),
        ("3201015508900001", NAME, "x" * 201, "INVALID_REQUEST"),
    ],
)
async def test_bad_identities(world: World, nik: str, nama: str, alamat: str, reason: str) -> None:
    call = world.ensure(nik, nama, alamat=alamat)
    assert await problem(call) == ("INVALID_ARGUMENT", reason)


async def test_details_of_any_length_allowed_fit(world: World) -> None:
    widest = "\N{CUNEIFORM SIGN A}" * 200
    made = await world.ensure(new_nik(), "\N{CUNEIFORM SIGN A}" * 60, alamat=widest)
    assert len(made.user.nama) == 60


async def test_nik_lookups_are_for_staff(world: World) -> None:
    nik = new_nik()
    made = await world.ensure(nik)
    operator = world.mesh.token(Role.ROLE_OPERATOR, institution_id=str(uuid4()))
    exists = await world.users.CheckNikExists(
        users.CheckNikExistsRequest(nik=nik), metadata=operator
    )
    assert exists.exists
    unknown = await world.users.CheckNikExists(
        users.CheckNikExistsRequest(nik=new_nik()), metadata=operator
    )
    assert not unknown.exists
    got = await world.users.GetUserByNik(users.GetUserByNikRequest(nik=nik), metadata=operator)
    assert got == made.user
    call = world.users.GetUserByNik(users.GetUserByNikRequest(nik=new_nik()), metadata=operator)
    assert await problem(call) == ("NOT_FOUND", "USER_NOT_FOUND")
    for metadata in (
        world.mesh.token(Role.ROLE_PASIEN, subject=made.user.id),
        world.mesh.token(scope=Scope.SCOPE_TICKETS, subject=made.user.id),
    ):
        call = world.users.GetUserByNik(users.GetUserByNikRequest(nik=nik), metadata=metadata)
        assert await problem(call) == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")


async def test_patients_at_the_counter(world: World) -> None:
    facility = str(uuid4())
    admin = world.mesh.token(Role.ROLE_ADMIN_FASKES, institution_id=facility)
    request = users.CreateUserRequest(
        nama=NAME, role=Role.ROLE_PASIEN, nik=new_nik(), institution_id=facility
    )
    made = await world.users.CreateUser(request, metadata=admin)
    assert (made.role, made.institution_id) == (Role.ROLE_PASIEN, "")
    again = world.users.CreateUser(request, metadata=admin)
    assert await problem(again) == ("ALREADY_EXISTS", "NIK_TAKEN")
    for change, reason in (
        ({"nik": ""}, "NIK_INVALID"),
        ({"nik": "3201019908900001"}, "NIK_INVALID"),
        ({"email": new_email()}, "EMAIL_NOT_ALLOWED"),
        ({"password": "kuda-biru-lari-pagi"}, "PASSWORD_NOT_ALLOWED"),
        ({"nama": " "}, "NAME_INVALID"),
    ):
        bad = users.CreateUserRequest()
        bad.CopyFrom(request)
        for field, value in change.items():
            setattr(bad, field, value)
        call = world.users.CreateUser(bad, metadata=admin)
        assert await problem(call) == ("INVALID_ARGUMENT", reason)


async def test_a_closed_patient_may_come_back(world: World) -> None:
    nik = new_nik()
    first = await world.ensure(nik)
    await world.users.DeleteUser(
        users.DeleteUserRequest(id=first.user.id), metadata=world.network_admin
    )
    login = world.auth.LoginUser(auth.LoginUserRequest(nik=nik, name=NAME))
    assert await problem(login) == ("UNAUTHENTICATED", "INVALID_CREDENTIALS")
    second = await world.ensure(nik)
    assert second.created
    assert second.user.id != first.user.id


async def test_the_database_holds_no_personal_data(world: World) -> None:
    nik, email = new_nik(), new_email()
    await world.ensure(
        nik,
        tempat_lahir="KOTA CONTOH",
        tanggal_lahir="15-08-1990",
        jenis_kelamin="PEREMPUAN",
        alamat="JL. MELATI 5",
    )
    staff = await world.create(email=email, request_id=str(uuid4()))
    pair = await world.login(email)
    await world.refresh(pair.refresh_token)
    tables = MetaData()
    tables.reflect(world.engine)
    with world.engine.connect() as connection:
        dump = repr([connection.execute(select(t)).all() for t in tables.tables.values()])
    assert staff.id in dump
    secrets = (nik, NAME, "Budi", email, "KOTA CONTOH", "15-08-1990", "PEREMPUAN", "MELATI")
    for secret in (*secrets, pair.refresh_token, "kuda-biru"):
        assert secret not in dump


@pytest.mark.usefixtures("lines")
async def test_swapped_ciphertexts_do_not_decrypt(world: World) -> None:
    first, second = await world.ensure(new_nik()), await world.ensure(new_nik(), "BUDI SANTOSO")
    rows = dict(world.sql("SELECT id, nama FROM users"))
    for target, source in ((first, second), (second, first)):
        world.sql(
            "UPDATE users SET nama = :nama WHERE id = :id",
            nama=rows[source.user.id],
            id=target.user.id,
        )
    call = world.users.GetUser(users.GetUserRequest(id=first.user.id), metadata=world.network_admin)
    assert await problem(call) == ("INTERNAL", "INTERNAL")

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from uuid import uuid4

import grpc
import pytest
from mediq.policy.v1.policy_pb2 import Role, Scope
from mediq.user.v1 import user_service_pb2 as users
from mediq.user.v1.user_pb2 import User

from tests.support.mesh import problem
from tests.user_svc.conftest import NAME, PASSWORD, Metadata, World, bearer, new_email, new_nik

ADMIN, OPERATOR, PASIEN = Role.ROLE_ADMIN_FASKES, Role.ROLE_OPERATOR, Role.ROLE_PASIEN


async def get(world: World, user_id: str, metadata: Metadata) -> User:
    return await world.users.GetUser(users.GetUserRequest(id=user_id), metadata=metadata)


async def delete(world: World, user_id: str, metadata: Metadata, request_id: str = "") -> None:
    await world.users.DeleteUser(
        users.DeleteUserRequest(id=user_id, request_id=request_id), metadata=metadata
    )


async def test_create_and_get(world: World) -> None:
    email = new_email()
    made = await world.create(email=email.upper(), nama=" Budi   Santoso ")
    assert (made.nama, made.email, made.masked_nik) == ("Budi Santoso", email, "")
    assert made.create_time == made.update_time
    assert await get(world, made.id.upper(), world.network_admin) == made


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"email": ""}, "EMAIL_REQUIRED"),
        ({"email": "no address"}, "INVALID_REQUEST"),
        ({"password": ""}, "PASSWORD_REQUIRED"),
        ({"password": "too-short"}, "INVALID_REQUEST"),
        ({"password": "qwertyuiopasdfgh"}, "PASSWORD_COMMON"),
        ({"nik": "3201015508900001"}, "NIK_NOT_ALLOWED"),
        ({"institution_id": ""}, "INSTITUTION_REQUIRED"),
        ({"institution_id": "not-a-uuid"}, "INVALID_REQUEST"),
        ({"nama": "  "}, "NAME_INVALID"),
        ({"nama": ""}, "INVALID_REQUEST"),
        ({"role": 0}, "INVALID_REQUEST"),
    ],
)
async def test_bad_staff(world: World, change: dict[str, str], reason: str) -> None:
    request = users.CreateUserRequest(
        nama="Budi",
        role=OPERATOR,
        email=new_email(),
        password="kuda-biru-lari-pagi",
        institution_id=str(uuid4()),
    )
    for field, value in change.items():
        setattr(request, field, value)
    call = world.users.CreateUser(request, metadata=world.network_admin)
    assert await problem(call) == ("INVALID_ARGUMENT", reason)


async def test_email_is_unique_whatever_its_case(world: World) -> None:
    email = new_email()
    await world.create(email=email)
    assert await problem(world.create(email=email.title())) == ("ALREADY_EXISTS", "EMAIL_TAKEN")


async def test_the_same_creation_at_once_gives_one_account(world: World) -> None:
    request_id, email, facility = str(uuid4()), new_email(), str(uuid4())

    def create(nama: str = "Budi") -> Awaitable[User]:
        return world.create(email=email, institution_id=facility, request_id=request_id, nama=nama)

    found = await asyncio.gather(*(create() for _ in range(6)))
    assert len({one.id for one in found}) == 1
    other = await asyncio.gather(
        *(world.create(email="satu@contoh.example") for _ in range(4)), return_exceptions=True
    )
    errors = [one for one in other if isinstance(one, grpc.aio.AioRpcError)]
    assert [error.code() for error in errors] == [grpc.StatusCode.ALREADY_EXISTS] * 3
    assert await problem(create("Lain")) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")


async def test_facility_admin_creates_only_in_the_facility(world: World) -> None:
    facility = str(uuid4())
    own = world.mesh.token(ADMIN, institution_id=facility)
    for role in (OPERATOR, ADMIN):
        made = await world.create(role, institution_id=facility, metadata=own)
        assert made.institution_id == facility
    for other in (str(uuid4()), ""):
        call = world.create(ADMIN, institution_id=other, metadata=own)
        assert await problem(call) == ("PERMISSION_DENIED", "OTHER_INSTITUTION")
    network = await world.create(ADMIN, institution_id="")
    assert network.institution_id == ""


async def test_facility_admin_sees_only_the_facility(world: World) -> None:
    facility = str(uuid4())
    own = world.mesh.token(ADMIN, institution_id=facility)
    mine = await world.create(institution_id=facility)
    hidden = [
        await world.create(),
        await world.create(ADMIN, institution_id=""),
        (await world.ensure(new_nik())).user,
    ]
    assert await get(world, mine.id, own) == mine
    for one in hidden:
        assert await get(world, one.id, world.network_admin) == one
        role = users.UpdateUserRoleRequest(id=one.id, role=OPERATOR)
        for call in (
            get(world, one.id, own),
            world.users.UpdateUserRole(role, metadata=own),
            delete(world, one.id, own),
        ):
            assert await problem(call) == ("NOT_FOUND", "USER_NOT_FOUND")
    listed = await world.users.ListUsers(users.ListUsersRequest(), metadata=own)
    assert list(listed.users) == [mine]
    everyone = await world.users.ListUsers(users.ListUsersRequest(), metadata=world.network_admin)
    assert len(everyone.users) == 4


async def test_pages_go_from_new_to_old(world: World) -> None:
    made = [await world.create() for _ in range(5)]
    await world.ensure(new_nik())
    seen: list[str] = []
    token = ""
    while True:
        page = await world.users.ListUsers(
            users.ListUsersRequest(page_size=2, page_token=token, role=OPERATOR),
            metadata=world.network_admin,
        )
        seen += [one.id for one in page.users]
        token = page.next_page_token
        if not token:
            break
    assert seen == [one.id for one in reversed(made)]
    for bad in ("###", "bm9uZQ", "YQpi"):
        call = world.users.ListUsers(
            users.ListUsersRequest(page_token=bad), metadata=world.network_admin
        )
        assert await problem(call) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")


async def test_role_change_ends_the_sessions(world: World) -> None:
    made = await world.create()
    pair = await world.login(made.email)
    changed = await world.users.UpdateUserRole(
        users.UpdateUserRoleRequest(id=made.id, role=ADMIN), metadata=world.network_admin
    )
    assert changed.role == ADMIN
    assert changed.update_time.ToNanoseconds() > made.update_time.ToNanoseconds()
    refused = world.refresh(pair.refresh_token)
    assert await problem(refused) == ("UNAUTHENTICATED", "REFRESH_TOKEN_INVALID")
    assert (await world.login(made.email)).user.role == ADMIN


async def test_roles_that_do_not_fit(world: World) -> None:
    patient = (await world.ensure(new_nik())).user
    network = await world.create(ADMIN, institution_id="")
    for user, role, problem_wanted in (
        (patient, OPERATOR, ("FAILED_PRECONDITION", "NOT_STAFF")),
        (network, OPERATOR, ("FAILED_PRECONDITION", "INSTITUTION_REQUIRED")),
        (network, PASIEN, ("INVALID_ARGUMENT", "INVALID_REQUEST")),
    ):
        call = world.users.UpdateUserRole(
            users.UpdateUserRoleRequest(id=user.id, role=role), metadata=world.network_admin
        )
        assert await problem(call) == problem_wanted


async def test_deleted_accounts_are_gone(world: World) -> None:
    made = await world.create()
    pair = await world.login(made.email)
    request_id = str(uuid4())
    for _ in range(2):
        await delete(world, made.id, world.network_admin, request_id)
    for call in (
        get(world, made.id, world.network_admin),
        delete(world, made.id, world.network_admin),
    ):
        assert await problem(call) == ("NOT_FOUND", "USER_NOT_FOUND")
    refused = world.refresh(pair.refresh_token)
    assert await problem(refused) == ("UNAUTHENTICATED", "REFRESH_TOKEN_INVALID")
    login = world.login(made.email)
    assert await problem(login) == ("UNAUTHENTICATED", "INVALID_CREDENTIALS")
    profile = world.users.GetProfile(users.GetProfileRequest(), metadata=bearer(pair.access_token))
    # Whichever is first: what ended is published to every service a moment later.
    gone = [("NOT_FOUND", "USER_NOT_FOUND"), ("UNAUTHENTICATED", "TOKEN_REVOKED")]
    assert await problem(profile) in gone
    again = await world.create(email=made.email)
    assert again.id != made.id


async def test_nobody_changes_their_own_account(world: World) -> None:
    made = await world.create(ADMIN, institution_id="")
    await world.create(ADMIN, institution_id="")
    own = bearer((await world.login(made.email)).access_token)
    for call in (
        delete(world, made.id, own),
        world.users.UpdateUserRole(
            users.UpdateUserRoleRequest(id=made.id, role=OPERATOR), metadata=own
        ),
    ):
        assert await problem(call) == ("FAILED_PRECONDITION", "OWN_ACCOUNT")


async def test_the_last_network_admin_stays(world: World) -> None:
    first = await world.create(ADMIN, institution_id="")
    second = await world.create(ADMIN, institution_id="")
    tokens = [world.mesh.token(ADMIN, subject=one.id) for one in (first, second)]
    results = await asyncio.gather(
        delete(world, second.id, tokens[0]),
        delete(world, first.id, tokens[1]),
        return_exceptions=True,
    )
    assert sum(result is None for result in results) == 1
    left = first if results[0] is None else second
    call = delete(world, left.id, world.network_admin)
    assert await problem(call) == ("FAILED_PRECONDITION", "LAST_NETWORK_ADMIN")


async def test_profile_is_the_callers_own(world: World) -> None:
    made = await world.create()
    pair = await world.login(made.email)
    patient = (await world.ensure(new_nik())).user
    for metadata, wanted in (
        (bearer(pair.access_token), made),
        (world.mesh.token(scope=Scope.SCOPE_TICKETS, subject=patient.id), patient),
        (world.mesh.token(PASIEN, subject=patient.id), patient),
    ):
        got = await world.users.GetProfile(users.GetProfileRequest(), metadata=metadata)
        assert got == wanted
    draft = world.mesh.token(scope=Scope.SCOPE_REGISTRATION, subject=patient.id)
    call = world.users.GetProfile(users.GetProfileRequest(), metadata=draft)
    assert await problem(call) == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")


@pytest.mark.parametrize("role", [OPERATOR, PASIEN])
async def test_administration_is_for_admins(world: World, role: Role.ValueType) -> None:
    made = await world.create()
    metadata = world.mesh.token(role, institution_id=made.institution_id)
    for call in (
        world.create(institution_id=made.institution_id, metadata=metadata),
        get(world, made.id, metadata),
        world.users.ListUsers(users.ListUsersRequest(), metadata=metadata),
        world.users.UpdateUserRole(
            users.UpdateUserRoleRequest(id=made.id, role=ADMIN), metadata=metadata
        ),
        delete(world, made.id, metadata),
    ):
        assert await problem(call) == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")


async def test_facility_admins_list_no_patients(world: World) -> None:
    await world.ensure(new_nik(), NAME)
    listed = await world.users.ListUsers(
        users.ListUsersRequest(role=PASIEN),
        metadata=world.mesh.token(ADMIN, institution_id=str(uuid4())),
    )
    assert not listed.users


async def test_operators_create_patients_of_their_facility_only(world: World) -> None:
    facility, nik = str(uuid4()), new_nik()
    operator = world.mesh.token(OPERATOR, institution_id=facility)
    admin = world.mesh.token(ADMIN, institution_id=facility)

    def enter(metadata: Metadata, **wishes: str) -> Awaitable[User]:
        body = {"nama": NAME, "nik": nik, "institution_id": facility, **wishes}
        return world.users.CreateUser(
            users.CreateUserRequest(role=PASIEN, **body), metadata=metadata
        )

    for elsewhere in (str(uuid4()), ""):
        call = enter(operator, institution_id=elsewhere)
        assert await problem(call) == ("PERMISSION_DENIED", "OTHER_INSTITUTION")
    homeless = enter(world.mesh.token(OPERATOR), institution_id="")
    assert await problem(homeless) == ("PERMISSION_DENIED", "OTHER_INSTITUTION")
    for role in (OPERATOR, ADMIN):
        staff = world.create(role, institution_id=facility, metadata=operator)
        assert await problem(staff) == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")
    assert world.sql("SELECT COUNT(*) FROM users") == [(0,)]
    for wishes in ({"email": new_email()}, {"password": PASSWORD}):
        assert (await problem(enter(operator, **wishes)))[0] == "INVALID_ARGUMENT"
    made = await enter(operator)
    assert (made.role, made.institution_id, made.nama) == (PASIEN, "", NAME)
    taken = [await problem(enter(metadata, nama="Lain")) for metadata in (operator, admin)]
    assert taken == [("ALREADY_EXISTS", "NIK_TAKEN")] * 2

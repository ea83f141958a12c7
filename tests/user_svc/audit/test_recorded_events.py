"""What logins, sessions and changes of accounts leave in the audit trail."""

from __future__ import annotations

from uuid import uuid4

import pyotp
from mediq.audit.v1 import audit_service_pb2 as audits
from mediq.audit.v1.audit_service_pb2_grpc import AuditServiceStub
from mediq.policy.v1.policy_pb2 import Role, Scope
from mediq.user.v1 import auth_service_pb2 as logins
from mediq.user.v1 import user_service_pb2 as messages

from tests.support.audit import ACCESS, CHANGE, REFUSED
from tests.support.mesh import problem
from tests.user_svc.conftest import PASSWORD, World, bearer, new_email, new_nik
from tests.user_svc.counter import Counter
from tests.user_svc.recorded import events_of


async def test_a_login_of_staff_names_account_and_session(world: World) -> None:
    email = new_email()
    made = await world.create(email=email)
    pair = await world.login(email)
    (event,) = await events_of(world, "LoginAdmin")
    assert (event.act, list(event.person_ids)) == (CHANGE, [made.id])
    assert (event.actor.id, event.actor.role) == (made.id, Role.ROLE_OPERATOR)
    listed = await world.auth.ListSessions(
        logins.ListSessionsRequest(), metadata=bearer(pair.access_token)
    )
    assert event.actor.session_id == listed.sessions[0].id


async def test_failed_logins_name_whom_they_were_aimed_at(world: World) -> None:
    email = new_email()
    made = await world.create(email=email)
    assert (await problem(world.login(email, "salah-salah-salah")))[1] == "INVALID_CREDENTIALS"
    await problem(world.login(new_email(), "salah-salah-salah"))
    known, unknown = await events_of(world, "LoginAdmin", 2)
    for event in (known, unknown):
        assert (event.act, event.refusal) == (REFUSED, "INVALID_CREDENTIALS")
    assert (list(known.person_ids), list(unknown.person_ids)) == ([made.id], [])


async def test_logins_of_patients(world: World) -> None:
    nik = new_nik()
    patient = (await world.ensure(nik, "SITI RAHMAWATI")).user
    session = await world.auth.LoginUser(logins.LoginUserRequest(nik=nik, name="siti rahmawati"))
    wrong = logins.LoginUserRequest(nik=nik, name="orang lain")
    await problem(world.auth.LoginUser(wrong))
    await problem(world.auth.LoginUser(logins.LoginUserRequest(nik=new_nik(), name="siapa")))
    done, refused, unknown = await events_of(world, "LoginUser", 3)
    assert (done.actor.id, done.actor.scope) == (patient.id, Scope.SCOPE_TICKETS)
    assert (refused.refusal, list(refused.person_ids)) == ("INVALID_CREDENTIALS", [patient.id])
    assert not unknown.person_ids
    await world.users.GetProfile(
        messages.GetProfileRequest(), metadata=bearer(session.access_token)
    )
    (seen,) = await events_of(world, "GetProfile")
    assert seen.actor.session_id == done.actor.session_id


async def test_renewal_reuse_and_logout(world: World) -> None:
    email = new_email()
    made = await world.create(email=email)
    first = await world.login(email)
    second = await world.refresh(first.refresh_token)
    await world.refresh(second.refresh_token)
    world.age_out_grace()
    await problem(world.refresh(first.refresh_token))
    renewed, again, reused = await events_of(world, "RefreshToken", 3)
    assert (renewed.act, again.act, reused.act) == (CHANGE, CHANGE, REFUSED)
    assert (reused.refusal, list(reused.person_ids)) == ("REFRESH_TOKEN_REUSED", [made.id])
    assert reused.actor.session_id == renewed.actor.session_id
    pair = await world.login(email)
    for _ in range(2):
        await world.auth.Logout(logins.LogoutRequest(refresh_token=pair.refresh_token))
    (ended,) = await events_of(world, "Logout")
    assert list(ended.person_ids) == [made.id]


async def test_look_ups_by_nik_name_the_patient(world: World) -> None:
    nik = new_nik()
    patient = (await world.ensure(nik, "SITI RAHMAWATI")).user
    check = messages.CheckNikExistsRequest(nik=nik)
    await world.users.CheckNikExists(check, metadata=world.network_admin)
    await world.users.GetUserByNik(
        messages.GetUserByNikRequest(nik=nik), metadata=world.network_admin
    )
    for method in ("CheckNikExists", "GetUserByNik"):
        (event,) = await events_of(world, method)
        assert (event.act, list(event.person_ids)) == (ACCESS, [patient.id]), method


async def test_a_nik_that_is_taken_is_a_look_up(world: World) -> None:
    """Who learns that a NIK is taken knows as much as by CheckNikExists, and is as well known."""
    nik, facility = new_nik(), str(uuid4())
    patient = (await world.ensure(nik, "SITI RAHMAWATI")).user
    operator = world.mesh.token(Role.ROLE_OPERATOR, institution_id=facility)
    request = messages.CreateUserRequest(
        nama="Siapa", role=Role.ROLE_PASIEN, nik=nik, institution_id=facility
    )
    refused = world.users.CreateUser(request, metadata=operator)
    assert await problem(refused) == ("ALREADY_EXISTS", "NIK_TAKEN")
    (event,) = await events_of(world, "CreateUser")
    assert (event.act, event.refusal) == (ACCESS, "NIK_TAKEN")
    assert (list(event.person_ids), event.institution_id) == ([patient.id], facility)


async def test_a_nik_that_is_taken_at_a_correction_is_a_look_up(world: World) -> None:
    counter, nik = Counter(world), new_nik()
    known = (await world.ensure(nik, "SITI RAHMAWATI")).user
    corrected = await counter.patient()
    refused = counter.correct(corrected.id, nik=nik)
    assert await problem(refused) == ("ALREADY_EXISTS", "NIK_TAKEN")
    (event,) = await events_of(world, "CorrectPatient")
    assert (event.act, event.refusal) == (ACCESS, "NIK_TAKEN")
    # Nothing about the one who was corrected: the other may read this entry.
    assert (list(event.person_ids), event.reason) == ([known.id], "")
    assert event.institution_id == counter.institution_id


async def test_a_patient_that_the_network_enters_is_the_facilitys(world: World) -> None:
    facility = str(uuid4())
    request = messages.CreateUserRequest(
        nama="Siapa", role=Role.ROLE_PASIEN, nik=new_nik(), institution_id=facility
    )
    await world.users.CreateUser(request, metadata=world.network_admin)
    (event,) = await events_of(world, "CreateUser")
    assert (event.act, event.institution_id) == (CHANGE, facility)


async def test_services_act_for_a_registration(world: World) -> None:
    patient = (await world.ensure(new_nik(), "SITI RAHMAWATI")).user
    (event,) = await events_of(world, "EnsurePatient")
    assert (event.actor.id, event.actor.peer) == ("", "ocr_svc")
    assert list(event.person_ids) == [patient.id]
    assert len(event.object_ids) == 1
    request = logins.IssueNarrowSessionRequest(scope=Scope.SCOPE_TICKETS, subject_id=patient.id)
    await world.ocr_auth.IssueNarrowSession(request)
    opened = await world.ocr_auth.IssueNarrowSession(request)
    await world.users.GetProfile(messages.GetProfileRequest(), metadata=bearer(opened.access_token))
    _, issued = await events_of(world, "IssueNarrowSession", 2)
    assert list(issued.person_ids) == [patient.id]
    (seen,) = await events_of(world, "GetProfile")
    assert seen.actor.session_id in issued.object_ids


async def test_who_opened_a_session_of_data_rights(world: World) -> None:
    """Who uses it is the patient to the trail: the session leads to the member of staff."""
    counter = Counter(world)
    patient = await counter.patient()
    session = await counter.open_rights(patient.id)
    asked = audits.ListPersonAccessesRequest(user_id=patient.id)
    async with counter.mesh.channel("user_svc") as edge:
        who = bearer(session.access_token)
        await AuditServiceStub(edge).ListPersonAccesses(asked, metadata=who)
    (used,) = await events_of(world, "ListPersonAccesses")
    (opened,) = await events_of(world, "OpenDataRights")
    assert (used.actor.id, opened.actor.role) == (patient.id, Role.ROLE_OPERATOR)
    assert used.actor.session_id in opened.object_ids


async def test_a_confirmed_authenticator_ends_other_sessions(world: World) -> None:
    email = new_email()
    await world.create(email=email)
    pair = await world.login(email)
    begun = await world.auth.BeginTotpEnrolment(
        logins.BeginTotpEnrolmentRequest(email=email, password=PASSWORD)
    )
    await world.auth.ConfirmTotpEnrolment(
        logins.ConfirmTotpEnrolmentRequest(
            email=email, password=PASSWORD, totp_code=pyotp.TOTP(begun.secret).now()
        )
    )
    assert (await problem(world.refresh(pair.refresh_token)))[1] == "REFRESH_TOKEN_INVALID"
    await events_of(world, "BeginTotpEnrolment")
    await events_of(world, "ConfirmTotpEnrolment")

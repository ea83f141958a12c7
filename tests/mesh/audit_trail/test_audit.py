"""The recorder of the audit trail, through a real server of the kit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar
from uuid import uuid4

import pytest
from google.protobuf.empty_pb2 import Empty
from mediq.audit.v1.audit_pb2 import AuditEvent
from mediq.policy.v1.policy_pb2 import Role, Scope
from mediq.user.v1 import user_service_pb2 as requests
from mediq.user.v1.user_pb2 import PatientIdentity, User
from mediq.user.v1.user_service_pb2_grpc import UserServiceStub
from sqlalchemy import MetaData, text
from sqlalchemy.orm import Session

from mesh.audit_trail import recorder as module
from mesh.audit_trail.events import annotate, command_event
from mesh.audit_trail.recorder import AuditRecorder, audit_table
from mesh.clock import utc_now
from mesh.contract.audit_fields import subjects_of
from mesh.contract.call import CLIENT_ADDRESS, principal
from mesh.encryption.field_cipher import FieldCipher
from mesh.errors import MeshError, failed_precondition, not_found
from mesh.idempotency import Idempotency, idempotency_table
from mesh.persistence.database import Database
from mesh.rpc.audit_lifecycle import open_audit_recorder
from mesh.rpc.pipeline import Context
from mesh.rpc.server import Server
from mesh.settings import ServiceSettings
from tests.support.audit import ACCESS, CHANGE, REFUSED, Collector
from tests.support.mesh import Mesh, partly, problem

if TYPE_CHECKING:
    from mediq.user.v1.user_service_pb2_grpc import UserServiceAsyncStub

METADATA = MetaData()
AUDIT = audit_table(METADATA)
IDEMPOTENCY = idempotency_table(METADATA)
FACILITY = str(uuid4())
Metadata = tuple[tuple[str, str], ...]


class Settings(ServiceSettings):
    service: ClassVar[str] = "user_svc"


@dataclass
class Accounts:
    """Shows and closes accounts."""

    idempotency: Idempotency
    listed: list[str] = field(default_factory=list)
    things: list[str] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)
    closing: Callable[[Session], None] = lambda _: None

    async def GetUser(self, request: requests.GetUserRequest, context: Context) -> User:
        if request.id in self.hidden:
            raise not_found("user", request.id)
        return User(id=request.id, institution_id=FACILITY)

    async def ListUsers(
        self, request: requests.ListUsersRequest, context: Context
    ) -> requests.ListUsersResponse:
        return requests.ListUsersResponse(users=[User(id=one) for one in self.listed])

    async def CheckNikExists(
        self, request: requests.CheckNikExistsRequest, context: Context
    ) -> requests.CheckNikExistsResponse:
        annotate(persons=self.listed, objects=self.things)
        return requests.CheckNikExistsResponse(exists=True)

    async def RevealNik(
        self, request: requests.RevealNikRequest, context: Context
    ) -> requests.RevealNikResponse:
        return requests.RevealNikResponse(nik="3201014105900017")

    async def EnsurePatient(
        self, request: requests.EnsurePatientRequest, context: Context
    ) -> requests.EnsurePatientResponse:
        def ensure(session: Session) -> requests.EnsurePatientResponse:
            return requests.EnsurePatientResponse(user=User(id=uid()))

        return await self.idempotency.once(
            "ocr_svc", request, requests.EnsurePatientResponse, ensure
        )

    async def DeleteUser(self, request: requests.DeleteUserRequest, context: Context) -> Empty:
        def close(session: Session) -> Empty:
            self.closing(session)
            return Empty()

        return await self.idempotency.once(principal().subject, request, Empty, close)


@dataclass
class Running:
    """A server whose events end in a collector."""

    mesh: Mesh
    accounts: Accounts
    collector: Collector
    database: Database
    recorder: AuditRecorder
    stub: UserServiceAsyncStub

    def admin(self) -> Metadata:
        """An administrator in a session of their own."""
        return self.mesh.token(Role.ROLE_ADMIN_FASKES, institution_id=FACILITY)

    async def get(self, person: str, who: Metadata) -> User:
        """Shows an account."""
        return await self.stub.GetUser(requests.GetUserRequest(id=person), metadata=who)

    async def written(self) -> int:
        """Events that wait in the database."""
        count = text("SELECT COUNT(*) FROM audit_outbox")
        return await self.database.read(lambda session: session.execute(count).scalar_one())


@pytest.fixture
async def running(
    mesh: Mesh, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Running]:
    monkeypatch.setattr("mesh.persistence.outbox.RETRY_SECONDS", 0.02)
    monkeypatch.setattr("mesh.persistence.outbox.IDLE_SECONDS", 0.02)
    database = Database(database_url)
    METADATA.create_all(database.engine)
    cipher = FieldCipher("a", {"a": b"1" * 32}, b"2" * 32)
    collector, made = Collector(), []

    async def build(server: Server) -> None:
        recorder = open_audit_recorder(server, AUDIT, database, cipher, collector.take, utc_now)
        accounts = Accounts(Idempotency(IDEMPOTENCY, cipher, database, recorder, utc_now))
        made.append((recorder, accounts))
        server.add(partly("mediq.user.v1.UserService"), accounts)

    settings = Settings(home=mesh.home, port=0, drain_seconds=0.2)
    async with mesh.serve(settings, build), mesh.channel("user_svc") as channel:
        recorder, accounts = made[0]
        yield Running(mesh, accounts, collector, database, recorder, UserServiceStub(channel))
    await database.close()


def uid() -> str:
    return str(uuid4())


async def test_an_access_says_who_saw_whom_from_where(running: Running) -> None:
    person, subject = uid(), uid()
    who = running.mesh.token(Role.ROLE_ADMIN_FASKES, subject=subject, institution_id=FACILITY)
    await running.get(person, (*who, (CLIENT_ADDRESS, "203.0.113.7")))
    (event,) = await running.collector.of("GetUser")
    assert (event.service, event.act, list(event.person_ids)) == ("user_svc", ACCESS, [person])
    assert (event.actor.id, event.actor.role) == (subject, Role.ROLE_ADMIN_FASKES)
    assert (event.actor.institution_id, event.institution_id) == (FACILITY, FACILITY)
    assert (event.actor.peer, event.actor.address) == ("edge", "203.0.113.7")
    assert event.actor.session_id
    assert not event.refusal


async def test_an_access_is_in_the_database_before_the_answer(running: Running) -> None:
    running.collector.down = True
    await running.get(uid(), running.admin())
    assert await running.written() == 1


async def test_looking_again_in_a_session_is_one_access(running: Running) -> None:
    first, second, who = uid(), uid(), running.admin()
    for person in (first, first, second, first):
        await running.get(person, who)
    await running.get(first, running.admin())
    events = await running.collector.of("GetUser", 3)
    assert [list(event.person_ids) for event in events] == [[first], [second], [first]]
    assert len({event.actor.session_id for event in events}) == 2


async def test_a_list_names_only_those_who_are_new_in_it(running: Running) -> None:
    who, people = running.admin(), [uid() for _ in range(3)]
    for running.accounts.listed in (people[:2], people, people):
        await running.stub.ListUsers(requests.ListUsersRequest(), metadata=who)
    events = await running.collector.of("ListUsers", 2)
    assert [list(event.person_ids) for event in events] == [people[:2], people[2:]]


async def test_after_a_while_it_is_another_access(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ACCESS_SECONDS", 0)
    person, who = uid(), running.admin()
    for _ in range(2):
        await running.get(person, who)
    await running.collector.of("GetUser", 2)


async def test_what_has_a_reason_is_written_every_time(running: Running) -> None:
    person, who = uid(), running.admin()
    request = requests.RevealNikRequest(id=person, reason="cocokkan dengan kartu")
    for _ in range(2):
        await running.stub.RevealNik(request, metadata=who)
    for event in await running.collector.of("RevealNik", 2):
        assert (event.reason, list(event.person_ids)) == ("cocokkan dengan kartu", [person])


async def test_a_handler_names_whom_its_messages_do_not(running: Running) -> None:
    running.accounts.listed = [uid()]
    request = requests.CheckNikExistsRequest(nik="3201014105900017")
    await running.stub.CheckNikExists(request, metadata=running.admin())
    (event,) = await running.collector.of("CheckNikExists")
    assert list(event.person_ids) == running.accounts.listed


@pytest.mark.usefixtures("lines")
async def test_without_a_trail_nothing_is_shown(running: Running) -> None:
    with running.database.engine.begin() as connection:
        connection.execute(text("DROP TABLE audit_outbox"))
    code, _ = await problem(running.get(uid(), running.admin()))
    assert code in ("UNAVAILABLE", "INTERNAL")


async def test_a_refused_person_is_written_down_once_a_session(running: Running) -> None:
    person = uid()
    who = running.mesh.token(scope=Scope.SCOPE_TICKETS, subject=person)
    other = uid()
    for _ in range(3):
        assert await problem(running.get(other, who)) == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")
    (event,) = await running.collector.of("GetUser")
    assert (event.act, event.refusal) == (REFUSED, "ROLE_NOT_ALLOWED")
    assert (event.actor.id, list(event.person_ids)) == (person, [other])


async def test_a_refused_request_cannot_stop_the_trail(running: Running) -> None:
    """Who may not call is refused before anybody reads the request."""
    patient = running.mesh.token(scope=Scope.SCOPE_TICKETS)
    absurd = requests.RevealNikRequest(id="' OR 1=1", reason="x" * 10_000)
    call = running.stub.RevealNik(absurd, metadata=patient)
    assert await problem(call) == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")
    await running.get(uid(), running.admin())
    (event,) = await running.collector.of("RevealNik")
    assert (list(event.person_ids), len(event.reason)) == ([], 500)
    await running.collector.of("GetUser")


async def test_what_is_hidden_from_somebody_is_a_refusal(running: Running) -> None:
    who, hidden = running.admin(), uid()
    running.accounts.hidden.add(hidden)
    for _ in range(2):
        assert (await problem(running.get(hidden, who)))[0] == "NOT_FOUND"
    (event,) = await running.collector.of("GetUser")
    assert (event.act, list(event.person_ids)) == (REFUSED, [hidden])
    assert event.refusal == "USER_NOT_FOUND"


async def test_each_target_of_refused_tries_is_written(running: Running) -> None:
    who, targets = running.mesh.token(scope=Scope.SCOPE_TICKETS), [uid() for _ in range(3)]
    for target in targets:
        await problem(running.get(target, who))
    events = await running.collector.of("GetUser", 3)
    assert [event.person_ids[0] for event in events] == targets


async def test_nobody_is_left_out_of_a_long_list(running: Running) -> None:
    running.accounts.listed = [uid() for _ in range(1200)]
    await running.stub.ListUsers(requests.ListUsersRequest(), metadata=running.admin())
    events = await running.collector.of("ListUsers", 3)
    named = [person for event in events for person in event.person_ids]
    assert sorted(named) == sorted(running.accounts.listed)


async def test_things_without_a_person_are_told_apart(running: Running) -> None:
    who, things = running.admin(), [uid(), uid()]
    running.accounts.listed = []
    for running.accounts.things in ([things[0]], [things[1]], [things[0]]):
        request = requests.CheckNikExistsRequest(nik="3201014105900017")
        await running.stub.CheckNikExists(request, metadata=who)
    events = await running.collector.of("CheckNikExists", 2)
    assert [list(event.object_ids) for event in events] == [[one] for one in things]


async def test_a_refusal_goes_out_without_the_trail(running: Running) -> None:
    with running.database.engine.begin() as connection:
        connection.execute(text("DROP TABLE audit_outbox"))
    who = running.mesh.token(Role.ROLE_OPERATOR, institution_id=FACILITY)
    assert await problem(running.get(uid(), who)) == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")


async def test_a_change_is_written_with_its_effect_and_once(running: Running) -> None:
    who, request = running.admin(), requests.DeleteUserRequest(request_id=uid(), id=uid())
    for _ in range(2):
        await running.stub.DeleteUser(request, metadata=who)
    (event,) = await running.collector.of("DeleteUser")
    assert (event.act, list(event.person_ids)) == (CHANGE, [request.id])


async def test_a_change_that_fails_leaves_no_event(running: Running) -> None:
    def refuse(_: Session) -> None:
        raise failed_precondition("not now", "NOT_NOW")

    running.collector.down = True
    running.accounts.closing = refuse
    request = requests.DeleteUserRequest(id=uid())
    call = running.stub.DeleteUser(request, metadata=running.admin())
    assert await problem(call) == ("FAILED_PRECONDITION", "NOT_NOW")
    assert await running.written() == 0


async def test_events_wait_encrypted_and_come_in_order(running: Running) -> None:
    running.collector.down = True
    person, who = uid(), running.admin()
    reasons = [f"alasan nomor {number}" for number in range(5)]
    for reason in reasons:
        request = requests.RevealNikRequest(id=person, reason=reason)
        await running.stub.RevealNik(request, metadata=who)
    payloads = await running.database.read(
        lambda session: session.execute(text("SELECT payload FROM audit_outbox")).scalars().all()
    )
    assert len(payloads) == 5
    assert not [one for one in payloads if b"alasan" in one or person.encode() in one]
    running.collector.down = False
    events = await running.collector.of("RevealNik", 5)
    assert [event.reason for event in events] == reasons


async def test_a_refusal_does_not_wait_for_a_database_that_hangs(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(module, "REFUSAL_SECONDS", 0.1)
    monkeypatch.setattr(running.database, "write", hang)
    who = running.mesh.token(scope=Scope.SCOPE_TICKETS)
    assert await problem(running.get(uid(), who)) == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")


async def test_a_server_that_shows_data_needs_a_trail(mesh: Mesh) -> None:
    async def build(server: Server) -> None:
        cipher = FieldCipher("a", {"a": b"1" * 32}, b"2" * 32)
        accounts = Accounts(Idempotency(IDEMPOTENCY, cipher, Database("sqlite://"), None, utc_now))
        server.add(partly("mediq.user.v1.UserService"), accounts)

    settings = Settings(home=mesh.home, port=0)
    with pytest.raises(RuntimeError, match="shows personal data and nothing writes it down"):
        async with mesh.serve(settings, build):
            pass


def test_messages_tell_what_their_fields_say() -> None:
    person, facility = uid(), uid()
    answer = requests.ListUsersResponse(users=[User(id=person.upper(), institution_id=facility)])
    subjects = subjects_of([requests.RevealNikRequest(id=person, reason="sebab"), answer])
    assert (list(subjects.persons), list(subjects.institutions)) == ([person], [facility])
    assert subjects.reason == "sebab"


def test_a_command_says_who_ran_it() -> None:
    event = command_event("user_svc", "admin create", CHANGE, utc_now, persons=[uid()])
    assert (event.actor.peer, event.act) == ("command", CHANGE)
    assert event.actor.login
    assert AuditEvent.FromString(event.SerializeToString()) == event


async def test_a_caller_that_is_not_the_edge_has_no_address(mesh: Mesh, running: Running) -> None:
    request = requests.EnsurePatientRequest(
        request_id=uid(),
        identity=PatientIdentity(nik="3201014105900017", nama="SITI RAHMAWATI"),
        institution_id=FACILITY,
    )
    async with mesh.channel("user_svc", "ocr_svc") as channel:
        call = UserServiceStub(channel).EnsurePatient(
            request, metadata=((CLIENT_ADDRESS, "203.0.113.7"),)
        )
        await call
    (event,) = await running.collector.of("EnsurePatient")
    assert (event.actor.peer, event.actor.address) == ("ocr_svc", "")


async def test_nothing_is_written_outside_of_a_call(running: Running) -> None:
    annotate(persons=[uid()])
    await running.database.write(lambda session: running.recorder.record_change(session, None))
    assert await running.written() == 0


async def test_a_record_fails_when_the_database_does(running: Running) -> None:
    await running.database.close()
    with pytest.raises((MeshError, RuntimeError)):
        await running.recorder.record(command_event("user_svc", "x", CHANGE, utc_now))

"""AuditService at a real server, with real certificates and tokens."""

from __future__ import annotations

import asyncio
import datetime
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from mediq.audit.v1 import audit_service_pb2 as messages
from mediq.audit.v1.audit_pb2 import AuditAct, AuditActor, AuditEvent
from mediq.audit.v1.audit_service_pb2_grpc import AuditServiceStub
from mediq.policy.v1.policy_pb2 import Role, Scope

from mesh.audit_trail import recorder as mesh_audit
from mesh.audit_trail.key import AUDIT_KEY
from mesh.clock import timestamp
from mesh.contract.pagination import encode_token
from tests.support.mesh import Mesh, problem
from tests.user_svc.audit.audit_trail import MINUTE, NOW, event, ids
from tests.user_svc.conftest import Metadata, World
from user_svc.__main__ import build
from user_svc.audit.chain import AuditChain
from user_svc.audit.queries import ACCESS_WINDOW
from user_svc.audit.verification import verify
from user_svc.settings import UserSettings

if TYPE_CHECKING:
    from mediq.audit.v1.audit_service_pb2_grpc import AuditServiceAsyncStub

ACCESS = AuditAct.AUDIT_ACT_ACCESS
CHANGE = AuditAct.AUDIT_ACT_CHANGE
REFUSED = AuditAct.AUDIT_ACT_REFUSED
MICROSECOND = datetime.timedelta(microseconds=1)


@dataclass
class Audit:
    """The service as its callers see it."""

    world: World
    edge: AuditServiceAsyncStub
    queue: AuditServiceAsyncStub
    ops: AuditServiceAsyncStub
    network: Metadata

    async def append(self, *events: AuditEvent) -> int:
        """Appends as queue_svc does."""
        request = messages.AppendAuditEventsRequest(events=events)
        return (await self.queue.AppendAuditEvents(request)).appended

    async def listed(
        self, metadata: Metadata = (), **fields: object
    ) -> messages.ListAuditEntriesResponse:
        """Lists entries, as the network's administrator unless said otherwise."""
        request = messages.ListAuditEntriesRequest(**fields)  # type: ignore[arg-type]
        return await self.edge.ListAuditEntries(request, metadata=metadata or self.network)

    async def found(self, metadata: Metadata = (), **fields: object) -> list[str]:
        """Identifiers of the events in a list."""
        return [one.event.id for one in (await self.listed(metadata, **fields)).entries]

    async def touched(
        self,
        start: datetime.datetime = NOW,
        end: datetime.datetime = NOW + MINUTE,
        metadata: Metadata = (),
        **fields: object,
    ) -> messages.ListTouchedPersonsResponse:
        """Lists who was touched."""
        request = messages.ListTouchedPersonsRequest(
            start_time=timestamp(start),
            end_time=timestamp(end),
            **fields,  # type: ignore[arg-type]
        )
        return await self.edge.ListTouchedPersons(request, metadata=metadata or self.network)

    async def accesses(self, person: str, **fields: object) -> messages.ListPersonAccessesResponse:
        """Lists who looked, as the person."""
        token = self.world.mesh.token(scope=Scope.SCOPE_DATA_RIGHTS, subject=person)
        request = messages.ListPersonAccessesRequest(user_id=person, **fields)  # type: ignore[arg-type]
        return await self.edge.ListPersonAccesses(request, metadata=token)


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the service itself sees stays on its way: the trail holds what a test puts there."""

    async def never(_: mesh_audit.AuditRecorder) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(mesh_audit.AuditRecorder, "relay", never)


@pytest.fixture
async def audit(silent: None, world: World) -> AsyncIterator[Audit]:
    mesh = world.mesh
    async with (
        mesh.channel("user_svc") as edge,
        mesh.channel("user_svc", "queue_svc") as queue,
        mesh.channel("user_svc", "ops") as ops,
    ):
        yield Audit(
            world,
            AuditServiceStub(edge),
            AuditServiceStub(queue),
            AuditServiceStub(ops),
            mesh.token(Role.ROLE_ADMIN_FASKES),
        )


class TestAppend:
    async def test_events_come_in_once_and_in_order(self, audit: Audit) -> None:
        one, two, three = event(), event(), event()
        assert await audit.append(one, two) == 2
        assert await audit.append(two, three, three) == 1
        entries = (await audit.listed()).entries
        assert [entry.event for entry in entries] == [three, two, one]
        assert [entry.position for entry in entries] == [3, 2, 1]
        age = datetime.datetime.now(datetime.UTC) - entries[0].record_time.ToDatetime(datetime.UTC)
        assert abs(age) < MINUTE
        head = await audit.ops.GetAuditHead(messages.GetAuditHeadRequest())
        assert (head.position, head.mac) == (3, entries[0].mac)
        assert head.record_time == entries[0].record_time

    async def test_the_head_of_an_empty_trail(self, audit: Audit) -> None:
        head = await audit.ops.GetAuditHead(messages.GetAuditHeadRequest())
        assert head == messages.AuditHead(position=0, mac="0" * 64)

    async def test_the_trail_is_whole_with_the_keys_of_the_service(self, audit: Audit) -> None:
        await audit.append(*(event() for _ in range(20)))
        chain = AuditChain.load(audit.world.settings.keys, "user_svc")
        report = verify(audit.world.engine, chain)
        assert (report.whole, report.entries) == (True, 20)

    async def test_a_service_tells_only_of_itself(self, audit: Audit) -> None:
        foreign = event()
        foreign.service = "ocr_svc"
        refused = ("PERMISSION_DENIED", "OTHER_SERVICE")
        assert await problem(audit.append(event(), foreign)) == refused
        assert await audit.found() == []

    async def test_who_may_append(self, audit: Audit) -> None:
        request = messages.AppendAuditEventsRequest(events=[event()])
        for stub in (audit.edge, audit.ops):
            call = stub.AppendAuditEvents(request)
            assert await problem(call) == ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED")
        head = audit.queue.GetAuditHead(messages.GetAuditHeadRequest())
        assert await problem(head) == ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED")

    async def test_bad_events(self, audit: Audit) -> None:
        late = event()
        late.occur_time.seconds = 10**12
        assert await problem(audit.append(late)) == ("INVALID_ARGUMENT", "TIME_INVALID")
        assert await problem(audit.append()) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
        many = [event() for _ in range(201)]
        assert await problem(audit.append(*many)) == ("INVALID_ARGUMENT", "INVALID_REQUEST")


class TestEntries:
    async def test_filters(self, audit: Audit) -> None:
        person, other, actor, facility = ids(4)
        by = AuditActor(id=actor, role=Role.ROLE_OPERATOR)
        events = [
            event(persons=[person, other]),
            event(actor=by, persons=[person], when=NOW + MINUTE),
            event(institution_id=facility, when=NOW + 2 * MINUTE),
            event(actor=by, institution_id=facility, persons=[], when=NOW + 3 * MINUTE),
        ]
        await audit.append(*events)
        a, b, c, d = (one.id for one in events)
        at = [timestamp(NOW + number * MINUTE) for number in range(5)]
        assert await audit.found() == [d, c, b, a]
        assert await audit.found(person_id=person.upper()) == [b, a]
        assert await audit.found(actor_id=actor) == [d, b]
        assert await audit.found(institution_id=facility) == [d, c]
        assert await audit.found(institution_id=facility, actor_id=actor) == [d]
        assert await audit.found(person_id=person, actor_id=actor) == [b]
        assert await audit.found(person_id=ids(1)[0]) == []
        assert await audit.found(start_time=at[1], end_time=at[3]) == [c, b]
        assert await audit.found(start_time=at[3]) == [d]
        assert await audit.found(end_time=at[1]) == [a]
        assert await audit.found(person_id=person, start_time=at[1]) == [b]
        assert await audit.found(start_time=at[1], end_time=at[1]) == []

    async def test_pages(self, audit: Audit) -> None:
        person = ids(1)
        events = [event(persons=person if number % 2 else []) for number in range(9)]
        await audit.append(*events)
        for fields, expected in (
            ({}, events[::-1]),
            ({"person_id": person[0]}, events[7::-2]),
            ({"end_time": timestamp(NOW + MINUTE)}, events[::-1]),
        ):
            found, token, pages = [], "", 0
            while pages == 0 or token:
                page = await audit.listed(page_size=2, page_token=token, **fields)
                found += [one.event for one in page.entries]
                token, pages = page.next_page_token, pages + 1
            assert found == expected
            assert pages == -(-len(expected) // 2)

    async def test_administrators_see_their_facility(self, audit: Audit) -> None:
        own, other = ids(2)
        events = [event(institution_id=own), event(institution_id=other), event()]
        await audit.append(*events)
        admin = audit.world.mesh.token(Role.ROLE_ADMIN_FASKES, institution_id=own)
        assert await audit.found(admin, institution_id=own) == [events[0].id]
        refused = ("PERMISSION_DENIED", "OTHER_INSTITUTION")
        for institution in ("", other):
            assert await problem(audit.listed(admin, institution_id=institution)) == refused
            call = audit.touched(metadata=admin, institution_id=institution)
            assert await problem(call) == refused

    async def test_who_may_list(self, audit: Audit) -> None:
        mesh, facility = audit.world.mesh, ids(1)[0]
        for token in (
            mesh.token(Role.ROLE_OPERATOR, institution_id=facility),
            mesh.token(Role.ROLE_PASIEN),
            mesh.token(scope=Scope.SCOPE_DATA_RIGHTS),
        ):
            refused = ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")
            assert await problem(audit.listed(token, institution_id=facility)) == refused
            call = audit.touched(metadata=token, institution_id=facility)
            assert await problem(call) == refused

    @pytest.mark.parametrize("token", ["###", "MQ", encode_token("1", "2"), encode_token("x")])
    async def test_bad_tokens(self, audit: Audit, token: str) -> None:
        await audit.append(event())
        invalid = ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")
        if token != "MQ":
            assert await problem(audit.listed(page_token=token)) == invalid
        assert await problem(audit.touched(page_token=token)) == invalid
        huge = encode_token(str(2**63))
        assert await problem(audit.listed(page_token=huge)) == invalid
        minus = encode_token("-1")
        assert await problem(audit.listed(page_token=minus)) == invalid

    async def test_bad_times(self, audit: Audit) -> None:
        early, late = timestamp(NOW), timestamp(NOW + MICROSECOND)
        backwards = ("INVALID_ARGUMENT", "TIME_RANGE_INVALID")
        assert await problem(audit.listed(start_time=late, end_time=early)) == backwards
        assert await problem(audit.touched(NOW + MINUTE, NOW)) == backwards
        for stamp in (Timestamp(seconds=-1), Timestamp(seconds=10**12), Timestamp(nanos=-1)):
            none = ("INVALID_ARGUMENT", "TIME_INVALID")
            assert await problem(audit.listed(start_time=stamp)) == none
            assert await problem(audit.listed(end_time=stamp)) == none
            request = messages.ListTouchedPersonsRequest(start_time=stamp, end_time=stamp)
            call = audit.edge.ListTouchedPersons(request, metadata=audit.network)
            assert await problem(call) == none

    async def test_a_damaged_entry_is_a_typed_error(self, audit: Audit) -> None:
        await audit.append(event())
        audit.world.sql("UPDATE audit_entries SET event_id = 'x'")
        assert await problem(audit.listed()) == ("INTERNAL", "AUDIT_ENTRY_DAMAGED")


class TestTouched:
    async def test_counts_and_times(self, audit: Audit) -> None:
        one, two, three = sorted(ids(3))
        await audit.append(
            event(persons=[two, one], when=NOW),
            event(persons=[one], when=NOW + MINUTE),
            event(persons=[one], act=CHANGE, when=NOW + 2 * MINUTE),
            event(persons=[one, three], act=REFUSED, when=NOW + 3 * MINUTE),
        )
        first, second = (await audit.touched(end=NOW + 5 * MINUTE)).persons
        assert first == messages.TouchedPerson(
            user_id=one,
            accesses=2,
            changes=1,
            first_time=timestamp(NOW),
            last_time=timestamp(NOW + 2 * MINUTE),
        )
        assert (second.user_id, second.accesses, second.changes) == (two, 1, 0)

    async def test_an_access_stands_for_ten_minutes(self, audit: Audit) -> None:
        assert ACCESS_WINDOW == 10 * MINUTE
        seen, long_ago, changed, later = ids(4)
        await audit.append(
            event(persons=[long_ago], when=NOW - ACCESS_WINDOW),
            event(persons=[seen], when=NOW - ACCESS_WINDOW + MICROSECOND),
            event(persons=[changed], act=CHANGE, when=NOW - MICROSECOND),
            event(persons=[later], when=NOW + MINUTE),
        )
        found = (await audit.touched()).persons
        assert [one.user_id for one in found] == [seen]
        assert found[0].first_time == timestamp(NOW - ACCESS_WINDOW + MICROSECOND)

    async def test_filters_and_pages(self, audit: Audit) -> None:
        persons, (actor, facility) = sorted(ids(5)), ids(2)
        by = AuditActor(id=actor, role=Role.ROLE_OPERATOR)
        await audit.append(
            event(persons=persons),
            event(persons=persons[:2], actor=by),
            event(persons=persons[1:3], institution_id=facility),
        )
        found, token, pages = [], "", 0
        while pages == 0 or token:
            page = await audit.touched(page_size=2, page_token=token)
            found += [one.user_id for one in page.persons]
            token, pages = page.next_page_token, pages + 1
        assert (found, pages) == (persons, 3)
        by_actor = await audit.touched(actor_id=actor.upper())
        assert [one.user_id for one in by_actor.persons] == persons[:2]
        admin = audit.world.mesh.token(Role.ROLE_ADMIN_FASKES, institution_id=facility)
        by_facility = await audit.touched(metadata=admin, institution_id=facility)
        assert [(one.user_id, one.accesses) for one in by_facility.persons] == [
            (persons[1], 1),
            (persons[2], 1),
        ]
        assert not (await audit.touched(actor_id=ids(1)[0])).persons


class TestPersonAccesses:
    async def test_what_a_person_is_told(self, audit: Audit) -> None:
        person, other, facility, staff, draft = ids(5)
        doctor = AuditActor(id=staff, role=Role.ROLE_OPERATOR, institution_id=facility)
        await audit.append(
            event(persons=[other]),
            event(persons=[person, other], actor=doctor, reason="antar", institution_id=facility),
            event(persons=[person], actor=AuditActor(id=person, scope=Scope.SCOPE_TICKETS)),
            event(
                persons=[person],
                actor=AuditActor(id=draft, scope=Scope.SCOPE_REGISTRATION),
                act=CHANGE,
            ),
            event(persons=[person], actor=doctor, act=REFUSED, refusal="OTHER_INSTITUTION"),
        )
        answer = await audit.accesses(person)
        common = {"occur_time": timestamp(NOW), "method": "GetTicket"}
        by_staff = {"role": Role.ROLE_OPERATOR, "institution_id": facility}
        assert list(answer.accesses) == [
            messages.PersonAccess(act=REFUSED, **common, **by_staff),  # type: ignore[arg-type]
            messages.PersonAccess(act=CHANGE, **common),  # type: ignore[arg-type]
            messages.PersonAccess(act=ACCESS, self=True, **common),  # type: ignore[arg-type]
            messages.PersonAccess(act=ACCESS, reason="antar", **common, **by_staff),  # type: ignore[arg-type]
        ]
        for name in (staff, other, draft):
            assert name not in str(answer)

    async def test_pages(self, audit: Audit) -> None:
        person = ids(1)[0]
        await audit.append(*(event(persons=[person], reason=str(n)) for n in range(5)))
        first = await audit.accesses(person, page_size=3)
        second = await audit.accesses(person, page_size=3, page_token=first.next_page_token)
        reasons = [one.reason for one in (*first.accesses, *second.accesses)]
        assert (reasons, second.next_page_token) == (["4", "3", "2", "1", "0"], "")

    async def test_only_ones_own(self, audit: Audit) -> None:
        person, mesh = ids(1)[0], audit.world.mesh
        request = messages.ListPersonAccessesRequest(user_id=person)
        for token, reason in (
            (mesh.token(scope=Scope.SCOPE_DATA_RIGHTS), "OTHER_SUBJECT"),
            (mesh.token(scope=Scope.SCOPE_TICKETS, subject=person), "ROLE_NOT_ALLOWED"),
            (mesh.token(Role.ROLE_ADMIN_FASKES), "ROLE_NOT_ALLOWED"),
        ):
            call = audit.edge.ListPersonAccesses(request, metadata=token)
            assert await problem(call) == ("PERMISSION_DENIED", reason)


async def test_a_service_without_the_key_does_not_start(
    mesh: Mesh, settings: UserSettings, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    shutil.copytree(settings.keys, keys)
    (keys / AUDIT_KEY).unlink()
    without = settings.model_copy(update={"keys_folder": keys})
    with pytest.raises(FileNotFoundError, match=AUDIT_KEY):
        async with mesh.serve(without, build):
            pass

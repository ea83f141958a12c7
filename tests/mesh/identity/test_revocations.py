"""Revoked tokens: the same rules for the file and for Redis."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import grpc
import pytest
from mediq.institution.v1.institution_service_pb2 import UpdateInstitutionRequest
from mediq.institution.v1.institution_service_pb2_grpc import InstitutionServiceStub
from mediq.policy.v1.policy_pb2 import Role, Scope
from structlog.testing import capture_logs

from mesh.backends import make_revocations
from mesh.clock import Clock, utc_now
from mesh.contract.call import Principal
from mesh.contract.status import from_rpc_error
from mesh.errors import MeshError
from mesh.identity.redis_revocations import RedisRevocations
from mesh.identity.revocations import (
    FileRevocations,
    Revocation,
    Revocations,
    decode,
)
from mesh.identity.signing_keys import ensure_signing_key
from mesh.identity.tokens import TokenSigner, TokenVerifier
from mesh.rpc.server import Server
from tests.mesh.conftest import SERVICE, Probe, Settings
from tests.support.mesh import Mesh, partly
from tests.support.waiting import eventually

REDIS_URL = os.environ.get("MEDIQ_TEST_REDIS_URL", "redis://127.0.0.1:6379/15")
REVOKED = ("UNAUTHENTICATED", "TOKEN_REVOKED")
Connect = Callable[..., Revocations]


@pytest.fixture(params=["file", pytest.param("redis", marks=pytest.mark.backends)])
async def connect(
    request: pytest.FixtureRequest, tmp_path: Path, patient_redis: None
) -> AsyncIterator[Connect]:
    """Gives services of one mesh: each call another one, on the same place."""
    made: list[Revocations] = []
    prefix = f"test-{uuid4()}/"

    def connect(clock: Clock = utc_now) -> Revocations:
        made.append(
            RedisRevocations(REDIS_URL, clock, prefix)
            if request.param == "redis"
            else FileRevocations(tmp_path, clock)
        )
        return made[-1]

    yield connect
    for one in made:
        await lose(one)
        await one.close()


async def lose(place: Revocations) -> None:
    """The shared place forgets everything."""
    if isinstance(place, RedisRevocations):
        await place._redis.delete(place._entries, place._version_key)
    elif isinstance(place, FileRevocations):
        place._file.unlink(missing_ok=True)


async def damage(place: Revocations) -> None:
    """The shared place holds something else."""
    if isinstance(place, RedisRevocations):
        await place._redis.zadd(place._entries, {b"{": time.time() + 60})
        await place._redis.set(place._version_key, b"other")
    elif isinstance(place, FileRevocations):
        place._file.write_text("{")


def principal(session: str = "s", subject: str = "a", issued_at: float = 0.0) -> Principal:
    return Principal(
        subject, Role.ROLE_OPERATOR, Scope.SCOPE_UNSPECIFIED, "", session, 0.0, issued_at
    )


def revocation(subject: str, before: float = 3600.0, life: float = 3600.0) -> Revocation:
    return Revocation(subject, time.time() + before, time.time() + life)


class TestBothPlaces:
    async def test_an_empty_place_refuses_nothing(self, connect: Connect) -> None:
        one = connect()
        await one.refresh()
        assert not one.revoked(principal())

    async def test_sessions_and_accounts_are_refused_everywhere(self, connect: Connect) -> None:
        writer, reader = connect(), connect()
        await reader.refresh()
        await writer.publish([revocation("s"), revocation("a2")])
        assert writer.revoked(principal("s"))
        assert not reader.revoked(principal("s"))
        await reader.refresh()
        late = connect()
        await late.refresh()
        for service in (reader, late):
            assert service.revoked(principal("s", "a"))
            assert service.revoked(principal("s2", "a2"))
            assert not service.revoked(principal("s2", "a"))

    async def test_tokens_that_were_signed_later_are_good(self, connect: Connect) -> None:
        one = connect()
        await one.publish([revocation("a", before=0.0)])
        assert one.revoked(principal(issued_at=time.time() - 600))
        assert not one.revoked(principal(issued_at=time.time() + 1))
        # A later revocation of the account counts, an earlier one takes nothing back.
        await one.publish([revocation("a", before=600.0)])
        await one.publish([revocation("a", before=-600.0)])
        assert one.revoked(principal(issued_at=time.time() + 1))

    async def test_entries_are_added_to_those_of_others(self, connect: Connect) -> None:
        one, other = connect(), connect()
        await one.publish([revocation("s1")])
        await other.refresh()
        await other.publish([revocation("s2")])
        await one.refresh()
        assert one.revoked(principal("s1"))
        assert one.revoked(principal("s2"))

    async def test_entries_are_dropped_at_their_end(self, connect: Connect) -> None:
        ahead = timedelta()

        def clock() -> datetime:
            return utc_now() + ahead

        one, other = connect(clock), connect(clock)
        short = revocation("s1", life=600)
        await one.publish([short, revocation("s2"), revocation("s3", life=-1)])
        assert set(one._known) == {"s1", "s2"}
        ahead = timedelta(seconds=600)
        await one.publish([revocation("s4")])
        assert set(one._known) == {"s2", "s4"}
        await other.refresh()
        assert set(other._known) == {"s2", "s4"}

    async def test_what_the_place_loses_is_known_and_written_again(self, connect: Connect) -> None:
        writer, reader = connect(), connect()
        await writer.publish([revocation("s")])
        await reader.refresh()
        await lose(writer)
        for service in (writer, reader):
            await service.refresh()
            assert service.revoked(principal("s"))
        await writer.publish([])
        late = connect()
        await late.refresh()
        assert late.revoked(principal("s"))

    async def test_damage_keeps_what_is_known(self, connect: Connect) -> None:
        writer, reader = connect(), connect()
        await writer.publish([revocation("s")])
        await reader.refresh()
        await damage(writer)
        with capture_logs() as lines:
            for _ in range(2):
                await reader.refresh()
        assert [line["log_level"] for line in lines] == ["warning"]
        assert reader.revoked(principal("s"))
        # The account service writes it again.
        await writer.refresh()
        await writer.publish([revocation("s2")])
        await reader.refresh()
        late = connect()
        await late.refresh()
        for service in (reader, late):
            assert service.revoked(principal("s"))
            assert service.revoked(principal("s2"))

    async def test_nothing_is_written_when_nothing_is_new(
        self, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one, written = connect(), 0
        store = one._store

        async def count(missing: set[Revocation]) -> None:
            nonlocal written
            written += 1
            await store(missing)

        monkeypatch.setattr(one, "_store", count)
        entries = [revocation("s"), revocation("a")]
        for _ in range(5):
            await one.publish(entries)
            await one.refresh()
        assert written == 1

    async def test_follows_in_the_background(
        self, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mesh.identity.revocations.POLL_SECONDS", 0.02)
        writer, reader = connect(), connect()
        following = asyncio.create_task(reader.follow())
        await writer.publish([revocation("s")])
        await eventually(lambda: reader.revoked(principal("s")))
        following.cancel()

    async def test_a_request_costs_no_look_at_the_place(
        self, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whatever the number of requests and entries, only the background reads."""
        one = connect()
        reads = 0
        load = one._load

        async def count() -> set[Revocation] | None:
            nonlocal reads
            reads += 1
            return await load()

        monkeypatch.setattr(one, "_load", count)
        await one.publish(revocation(str(uuid4())) for _ in range(1000))
        await one.refresh()
        ensure_signing_key(tmp_path)
        verifier = TokenVerifier(tmp_path / "jwks.json", one.revoked)
        token, _ = TokenSigner(tmp_path).sign("a", lifetime_seconds=60, session_id="s")
        for _ in range(2000):
            verifier.verify(token)
        assert reads == 1


class TestVerifier:
    async def test_a_remembered_token_is_refused_too(self, tmp_path: Path) -> None:
        ensure_signing_key(tmp_path)
        known = FileRevocations(tmp_path, utc_now)
        verifier = TokenVerifier(tmp_path / "jwks.json", known.revoked)
        signer = TokenSigner(tmp_path)
        before = int(time.time())
        token, _ = signer.sign("a", lifetime_seconds=60, session_id="s")
        other, _ = signer.sign("a", lifetime_seconds=60, session_id="s2")
        found = verifier.verify(token)
        assert before <= found.issued_at <= time.time()
        await known.publish([revocation("s")])
        for _ in range(2):
            with pytest.raises(MeshError, match="TOKEN_REVOKED"):
                verifier.verify(token)
        assert verifier.verify(other).session_id == "s2"


class TestServer:
    @pytest.mark.parametrize("url", ["", pytest.param(REDIS_URL, marks=pytest.mark.backends)])
    async def test_a_server_refuses(self, mesh: Mesh, url: str) -> None:
        async def build(server: Server) -> None:
            server.add(partly(SERVICE), Probe())

        metadata = mesh.token(Role.ROLE_ADMIN_FASKES)
        token = metadata[0][1].removeprefix("Bearer ")
        session = TokenVerifier(mesh.home / "keys" / "jwks.json").verify(token).session_id
        request = UpdateInstitutionRequest(id=str(uuid4()), name="RSUD")
        settings = Settings(home=mesh.home, port=0, drain_seconds=0.2, redis_url=url)
        writer = make_revocations(settings.keys, url, utc_now)
        async with (
            mesh.serve(settings, build),
            mesh.channel("institution_svc") as channel,
        ):
            stub = InstitutionServiceStub(channel)
            await stub.UpdateInstitution(request, metadata=metadata)
            await writer.refresh()
            await writer.publish([revocation(session)])

            async def refused() -> bool:
                try:
                    await stub.UpdateInstitution(request, metadata=metadata)
                except grpc.aio.AioRpcError as error:
                    refusal = from_rpc_error(error)
                    return (refusal.kind.value, refusal.reason) == REVOKED
                return False

            await eventually(refused)
        await writer.close()


class TestFailures:
    async def test_redis_that_is_gone_is_told_once(self) -> None:
        gone = make_revocations(Path(), "redis://127.0.0.1:1/0", utc_now)
        with capture_logs() as lines:
            for _ in range(3):
                await gone.refresh()
                await gone.publish([revocation("s")])
        assert [line["event"] for line in lines] == [
            "revoked tokens cannot be read, going on with those known",
            "revoked tokens cannot be written, going on with those known",
        ]
        assert "ConnectionError" in lines[0]["detail"]
        # Here it counts at least, and stays to be written.
        assert gone.revoked(principal("s"))
        await gone.close()

    @pytest.mark.backends
    async def test_redis_that_comes_back_gets_what_it_missed(self, patient_redis: None) -> None:
        prefix = f"test-{uuid4()}/"
        writer = RedisRevocations(REDIS_URL, utc_now, prefix)
        reader = RedisRevocations(REDIS_URL, utc_now, prefix)
        good, dead = writer._redis, RedisRevocations("redis://127.0.0.1:1/0", utc_now)._redis
        await writer.publish([revocation("s1")])
        await reader.refresh()
        writer._redis = reader._redis = dead
        await writer.publish([revocation("s2")])
        await reader.refresh()
        assert reader.revoked(principal("s1"))
        assert not reader.revoked(principal("s2"))
        writer._redis = reader._redis = good
        with capture_logs() as lines:
            await writer.publish([])
            await reader.refresh()
        assert [line["event"] for line in lines] == [
            "revoked tokens can be written again",
            "revoked tokens can be read again",
        ]
        assert reader.revoked(principal("s2"))
        await lose(writer)
        await good.aclose()

    async def test_a_folder_that_cannot_be_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError("read-only")

        one = FileRevocations(tmp_path, utc_now)
        with monkeypatch.context() as patch:
            patch.setattr("mesh.identity.revocations.write_private", refuse)
            with capture_logs() as lines:
                for _ in range(3):
                    await one.publish([revocation("s")])
                    await one.refresh()
        assert [line["log_level"] for line in lines] == ["warning"]
        await one.publish([])
        other = FileRevocations(tmp_path, utc_now)
        await other.refresh()
        assert other.revoked(principal("s"))

    @pytest.mark.parametrize("content", [b"", b"{", b"1", b'[["s", 1]]', b'[["s", "x", 1]]'])
    def test_damaged_content(self, content: bytes) -> None:
        with pytest.raises(ValueError):  # noqa: PT011 - JSON's own texts differ
            decode(content)

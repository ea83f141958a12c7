"""Global rate limits: the counters, in the process and in Redis, and the service that asks them."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
from envoy.extensions.common.ratelimit.v3.ratelimit_pb2 import RateLimitDescriptor
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse
from envoy.service.ratelimit.v3.rls_pb2_grpc import RateLimitServiceStub

from edge.settings import DEFAULT_RATES
from gateway.__main__ import build
from gateway.settings import GatewaySettings
from mesh.backends import make_counters
from mesh.clock import utc_now
from mesh.shared_state import rate_limits
from mesh.shared_state.rate_limits import Count, Counters, Limit, MemoryCounters
from mesh.shared_state.redis_rate_limits import RedisCounters
from tests.support.mesh import Mesh, problem
from tests.support.waiting import eventually

REDIS_URL = os.environ.get("MEDIQ_TEST_REDIS_URL", "redis://127.0.0.1:6379/15")
GONE = "redis://127.0.0.1:1/0"
ENTRY = RateLimitDescriptor.Entry


@pytest.fixture(params=["memory", "gone", pytest.param("redis", marks=pytest.mark.backends)])
async def counters(request: pytest.FixtureRequest, patient_redis: None) -> AsyncIterator[Counters]:
    """Counters in the process, in Redis, and of a Redis that is gone."""
    url = {"memory": "", "gone": GONE, "redis": REDIS_URL}[request.param]
    made = make_counters(url, f"test-{uuid4()}:")
    yield made
    await made.close()


class TestCounters:
    async def test_a_window_counts_and_says_when_it_ends(self, counters: Counters) -> None:
        began = time.monotonic()
        found = [(await counters.count([("a", 2)]))[0] for _ in range(3)]
        least = 59_000 - 1000 * (time.monotonic() - began)
        assert [count.used for count in found] == [1, 2, 3]
        assert all(least < count.resets_in_ms <= 60_000 for count in found)

    async def test_keys_are_apart(self, counters: Counters) -> None:
        await counters.count([("a", 9)])
        assert [count.used for count in await counters.count([("b", 9), ("a", 9)])] == [1, 2]

    async def test_a_refused_call_does_not_use_up_what_comes_after(
        self, counters: Counters
    ) -> None:
        keys = [("address", 1), ("all", 10)]
        assert len(await counters.count(keys)) == 2
        refused = [await counters.count(keys) for _ in range(20)]
        assert [len(found) for found in refused] == [1] * 20
        assert (await counters.count([("all", 10)]))[0].used == 2

    async def test_calls_at_the_same_moment_are_all_counted(self, counters: Counters) -> None:
        found = await asyncio.gather(*(counters.count([("a", 100)]) for _ in range(50)))
        assert sorted(counts[0].used for counts in found) == list(range(1, 51))

    async def test_a_call_may_weigh_more(self, counters: Counters) -> None:
        assert (await counters.count([("a", 9)], hits=3))[0].used == 3

    async def test_windows_end(self, monkeypatch: pytest.MonkeyPatch, counters: Counters) -> None:
        monkeypatch.setattr("mesh.shared_state.rate_limits.WINDOW_SECONDS", 1)
        monkeypatch.setattr("mesh.shared_state.redis_rate_limits.WINDOW_SECONDS", 1)
        await counters.count([("a", 1)])

        async def another() -> bool:
            return (await counters.count([("a", 1)]))[0].used == 1

        await eventually(another)


class TestMemory:
    async def test_windows_that_ended_are_forgotten(self) -> None:
        now = 0.0
        counters = MemoryCounters(lambda: now)
        for number in range(100):
            await counters.count([(str(number), 1)])
        now = 61.0
        assert await counters.count([("new", 1)]) == [Count(1, 60_000)]
        assert len(counters._windows) == 1

    async def test_a_flood_of_addresses_does_not_fill_the_memory(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rate_limits, "MAX_WINDOWS", 10)
        counters = MemoryCounters()
        for number in range(100):
            await counters.count([(str(number), 1)])
        assert len(counters._windows) == 10
        assert (await counters.count([("99", 1)]))[0].used == 2


class TestRedisGone:
    async def test_a_silent_redis_is_asked_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It takes the connection and never answers: only the first call waits for it."""
        monkeypatch.setattr("mesh.shared_state.redis_rate_limits.PAUSE_SECONDS", 3600)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            counters = RedisCounters(f"redis://127.0.0.1:{port}/0", "test:")
            assert (await counters.count([("a", 9)]))[0].used == 1
            assert (await counters.count([("a", 9)]))[0].used == 2
            silent.setblocking(False)
            silent.accept()[0].close()
            with pytest.raises(BlockingIOError):
                silent.accept()
            await counters.close()

    @pytest.mark.backends
    async def test_redis_counts_again_when_it_is_back(
        self, patient_redis: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        counters = RedisCounters(REDIS_URL, f"test-{uuid4()}:")
        await counters.count([("a", 9)])
        monkeypatch.setattr(counters, "_silent_until", float("inf"))
        assert (await counters.count([("a", 9)]))[0].used == 1
        monkeypatch.setattr(counters, "_silent_until", 0.0)
        assert (await counters.count([("a", 9)]))[0].used == 2
        await counters.close()


def _request(name: str, address: str = "", domain: str = rate_limits.DOMAIN) -> RateLimitRequest:
    """What Envoy asks about a call."""
    kind = ENTRY(key=rate_limits.LIMIT_KEY, value=name)
    descriptors = [RateLimitDescriptor(entries=[kind])]
    if address:
        place = ENTRY(key=rate_limits.ADDRESS_KEY, value=f"{address}/32")
        descriptors.insert(0, RateLimitDescriptor(entries=[kind, place]))
    return RateLimitRequest(domain=domain, descriptors=descriptors)


async def _gateway(
    mesh: Mesh, stack: AsyncExitStack, redis_url: str = "", identity: str = "edge"
) -> Any:
    """A stub of a new gateway with small limits."""
    settings = GatewaySettings(
        home=mesh.home,
        port=0,
        drain_seconds=0,
        redis_url=redis_url,
        address_logins=2,
        all_logins=5,
    )
    await stack.enter_async_context(mesh.serve(settings, build))
    channel = await stack.enter_async_context(mesh.channel("gateway", identity))
    return RateLimitServiceStub(channel)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Ends what a test started."""
    async with AsyncExitStack() as made:
        yield made


class TestService:
    async def test_an_address_is_told_when_it_may_come_again(
        self, mesh: Mesh, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        counters = MemoryCounters(lambda: 0.0)
        monkeypatch.setattr("gateway.__main__.make_counters", lambda *_: counters)
        stub = await _gateway(mesh, stack)
        answers = [await stub.ShouldRateLimit(_request("LOGIN", "10.0.0.1")) for _ in range(3)]
        assert [answer.overall_code for answer in answers] == [1, 1, 2]
        address, everyone = answers[0].statuses
        assert (address.current_limit.requests_per_unit, address.limit_remaining) == (2, 1)
        assert (everyone.current_limit.requests_per_unit, everyone.limit_remaining) == (5, 4)
        assert address.current_limit.unit == RateLimitResponse.RateLimit.MINUTE
        refused = answers[2]
        assert [status.code for status in refused.statuses] == [2, 1]
        assert not refused.statuses[1].HasField("current_limit")
        (header,) = refused.response_headers_to_add
        assert (header.key, header.value) == ("retry-after", "60")

    async def test_addresses_are_apart_until_the_limit_of_all(
        self, mesh: Mesh, stack: AsyncExitStack
    ) -> None:
        stub = await _gateway(mesh, stack)
        for _ in range(20):
            await stub.ShouldRateLimit(_request("LOGIN", "10.0.0.1"))
        codes = [
            (await stub.ShouldRateLimit(_request("LOGIN", f"10.0.1.{number}"))).overall_code
            for number in range(4)
        ]
        assert codes == [1, 1, 1, 2]

    async def test_what_has_no_limit_passes(self, mesh: Mesh, stack: AsyncExitStack) -> None:
        stub = await _gateway(mesh, stack)
        request = _request("READ", "10.0.0.1")
        request.descriptors.add()
        request.descriptors.add().entries.extend([ENTRY(key="x", value="LOGIN")])
        for _ in range(10):
            answer = await stub.ShouldRateLimit(request)
            assert answer.overall_code == RateLimitResponse.OK
            assert [status.code for status in answer.statuses] == [1] * 4

    async def test_another_domain_is_refused(self, mesh: Mesh, stack: AsyncExitStack) -> None:
        stub = await _gateway(mesh, stack)
        call = stub.ShouldRateLimit(_request("LOGIN", domain="other"))
        assert await problem(call) == ("INVALID_ARGUMENT", "LIMIT_DOMAIN_UNKNOWN")

    @pytest.mark.parametrize("identity", ["ops", "user_svc", "ocr_svc"])
    async def test_only_the_edge_may_ask(
        self, mesh: Mesh, stack: AsyncExitStack, identity: str
    ) -> None:
        stub = await _gateway(mesh, stack, identity=identity)
        call = stub.ShouldRateLimit(_request("LOGIN", "10.0.0.1"))
        assert await problem(call) == ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED")

    @pytest.mark.backends
    async def test_two_replicas_count_together(
        self, patient_redis: None, mesh: Mesh, stack: AsyncExitStack
    ) -> None:
        stubs = [await _gateway(mesh, stack, REDIS_URL) for _ in range(2)]
        address = str(uuid4())
        codes = [
            (await stub.ShouldRateLimit(_request("UPLOAD", address))).statuses[0].limit_remaining
            for stub in (*stubs, *stubs)
        ]
        assert codes == [89, 88, 87, 86]

    async def test_without_redis_each_replica_counts_for_itself(
        self, mesh: Mesh, stack: AsyncExitStack
    ) -> None:
        stubs = [await _gateway(mesh, stack, GONE) for _ in range(2)]
        for stub in stubs:
            codes = [
                (await stub.ShouldRateLimit(_request("LOGIN", "10.0.0.1"))).overall_code
                for _ in range(3)
            ]
            assert codes == [1, 1, 2]

    async def test_foreign_methods_must_not_block(self, mesh: Mesh) -> None:
        from envoy.service.ratelimit.v3.rls_pb2_grpc import (
            RateLimitServiceServicer,
            add_RateLimitServiceServicer_to_server,
        )

        from mesh.rpc.server import Server

        server = Server(GatewaySettings(home=mesh.home, port=0), utc_now)
        blocking: Any = RateLimitServiceServicer()
        with pytest.raises(TypeError, match="ShouldRateLimit is not async"):
            server.add_external(add_RateLimitServiceServicer_to_server, blocking, callers=())
        await server._server.stop(grace=None)


def test_every_limit_has_an_allowance_that_fits_the_local_buckets() -> None:
    """One Envoy lets no more through in a minute than the global limit of an address allows."""
    from mediq.policy.v1.policy_pb2 import RateClass

    allowances = GatewaySettings().allowances
    assert set(allowances) == set(Limit)
    for limit, rate in (
        (Limit.LOGIN, RateClass.RATE_CLASS_LOGIN),
        (Limit.UPLOAD, RateClass.RATE_CLASS_UPLOAD),
    ):
        bucket = DEFAULT_RATES[rate].address
        a_minute = bucket.tokens + bucket.refill * 60 // bucket.interval_seconds
        assert a_minute <= allowances[limit].address < allowances[limit].all


def test_settings_must_allow_something() -> None:
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        GatewaySettings(address_logins=0)

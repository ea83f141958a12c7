"""The server runtime: registration, readiness, reflection, background work, drain."""

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import grpc
import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha.reflection import SERVICE_NAME as REFLECTION
from mediq.policy.v1.policy_pb2 import AuditClass, Peer

from mesh.backends import make_revocations
from mesh.background import run_periodically, run_until_done
from mesh.clock import Clock, utc_now
from mesh.contract.authorization import require_policy
from mesh.contract.methods import (
    MAX_MESSAGE_BYTES,
    Method,
    max_request_bytes_of,
    methods,
    services_of,
)
from mesh.identity.certificates import IdentityError, IdentityFiles
from mesh.identity.key_set import KeyFolderError
from mesh.identity.tokens import TokenVerifier
from mesh.observability import logs, telemetry
from mesh.observability.metrics import Metrics
from mesh.rpc.pipeline import Handler, Pipeline, is_coroutine_handler
from mesh.rpc.registration import HandlerCollector, external_method
from mesh.settings import ServiceSettings

__all__ = [
    "GC_THRESHOLDS",
    "OPTIONS",
    "Server",
    "run",
]

Servicer = TypeVar("Servicer")
CHECK_SECONDS = 2.0
"""How often readiness is checked."""
SWITCH_SECONDS = 0.0005
"""How long a database thread may hold up the event loop; Python's default is 5 ms."""
CHECK_TIMEOUT_SECONDS = 1.5
WARN_SECONDS = 86_400.0
"""How often a certificate that ends soon is warned of."""
GC_THRESHOLDS = (20_000, 20, 20)
"""Python's own are 700, 10 and 10: under load a tenth of the time went into looking for cycles."""
OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_connection_age_ms", 600_000),
    ("grpc.max_connection_age_grace_ms", 660_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
)
"""Channel options of every server."""


def _options(service: str) -> Sequence[tuple[str, int]]:
    own = dict(OPTIONS) | {"grpc.max_receive_message_length": max_request_bytes_of(service)}
    return tuple(own.items())


class Server:
    """Runs one gRPC server with mTLS, health, reflection and the pipeline of every call."""

    def __init__(self, settings: ServiceSettings, clock: Clock) -> None:
        """Prepares a server; nothing listens before `start`.

        Args:
            settings: The service's settings.
            clock: Tells which tokens and certificates have ended.

        Raises:
            FileNotFoundError: The key set is missing.
            KeyFolderError: The key set is damaged.
        """
        self.settings = settings
        self.clock = clock
        """Tells which tokens have ended: a stream ends with the token that it was begun with."""
        self._server = grpc.aio.server(options=_options(settings.service))
        self.revocations = make_revocations(settings.keys, settings.redis_url, clock)
        """Access tokens that ended early; the account service adds to them."""
        self.pipeline = Pipeline(
            TokenVerifier(settings.keys / "jwks.json", self.revocations.revoked, clock)
        )
        """The stages of every call; a service with an audit trail gives it here."""
        self._health = health_aio.HealthServicer()
        self._metrics = Metrics(settings)
        self.meter = self._metrics.meter
        """Makes the instruments of the service; they do nothing unless it has a metrics port."""
        self._checks: dict[str, Callable[[], Awaitable[None]]] = {}
        self._work: list[Callable[[], Awaitable[None]]] = [self.revocations.follow]
        self._closers: list[Callable[[], Awaitable[None]]] = [self.revocations.close]
        self._tasks: list[asyncio.Task[None]] = []
        self._services: set[str] = set()
        self._shows: list[str] = []
        self.failing_checks: dict[str, str] = {}
        self.draining = asyncio.Event()
        """Set when the server begins to stop: streams end themselves then."""

    def add(
        self, register: Callable[[Servicer, grpc.aio.Server], None], servicer: Servicer
    ) -> None:
        """Registers a servicer through its generated function.

        Raises:
            LookupError: A method has no policy.
            TypeError: A method is not written for the event loop.
        """
        known = dict(methods())
        self._add(
            register, servicer, lambda service, name: require_policy(known, f"/{service}/{name}")
        )

    def add_external(
        self,
        register: Callable[[Servicer, grpc.aio.Server], None],
        servicer: Servicer,
        callers: Sequence[Peer.ValueType],
    ) -> None:
        """Registers a servicer whose contract is not ours, such as one of Envoy's protocols.

        Its calls pass the same stages. No person stands behind them: all that is checked is the
        certificate.

        Args:
            register: The generated function.
            servicer: What answers.
            callers: Who may call it.

        Raises:
            TypeError: A method is not written for the event loop.
        """
        own = self.settings.service
        self._add(
            register, servicer, lambda service, name: external_method(own, service, name, callers)
        )

    def _add(
        self,
        register: Callable[[Servicer, grpc.aio.Server], None],
        servicer: Servicer,
        find: Callable[[str, str], Method],
    ) -> None:
        collector = HandlerCollector()
        register(servicer, collector)  # type: ignore[arg-type]
        for service, handlers in collector.handlers.items():
            wrapped: dict[str, Handler] = {}
            for name, handler in handlers.items():
                if not is_coroutine_handler(handler.unary_unary or handler.unary_stream):
                    raise TypeError(f"/{service}/{name} is not async: it would block the loop")
                wrapped[name] = self._wrapped(find(service, name), handler)
            generic = grpc.method_handlers_generic_handler(service, wrapped)
            self._server.add_generic_rpc_handlers((generic,))
            self._services.add(service)

    def _wrapped(self, method: Method, handler: Handler) -> Handler:
        if method.policy.audit == AuditClass.AUDIT_CLASS_ACCESS:
            self._shows.append(method.path)
        return self.pipeline.wrap(method, handler)

    def add_readiness_check(self, name: str, probe: Callable[[], Awaitable[None]]) -> None:
        """Adds something that readiness needs. The probe raises when it is gone."""
        self._checks[name] = probe

    def add_background_task(self, work: Callable[[], Awaitable[None]]) -> None:
        """Adds work that runs as long as the server; it is restarted when it fails."""
        self._work.append(work)

    def on_close(self, close: Callable[[], Awaitable[None]]) -> None:
        """Adds a step for the end, run in reverse order of addition."""
        self._closers.append(close)

    async def start(self) -> int:
        """Listens and becomes ready as soon as the checks hold.

        Returns:
            The TCP port.

        Raises:
            RuntimeError: The port, or that of the metrics, is taken; or a method shows personal
                data and there is no audit trail.
            FileNotFoundError: The certificate is missing.
            IdentityError: The certificate is damaged.
        """
        settings = self.settings
        if self._shows and self.pipeline.audit_recorder is None:
            raise RuntimeError(f"{self._shows[0]} shows personal data and nothing writes it down")
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (*sorted(self._services), REFLECTION, "grpc.health.v1.Health")
        reflection.enable_server_reflection(names, self._server)
        await self._announce(ready=False)
        identity = IdentityFiles(settings.tls, settings.service)
        try:
            port = self._server.add_secure_port(
                f"{settings.host}:{settings.listen_port}", identity.server_credentials()
            )
        except RuntimeError as error:
            raise RuntimeError(
                f"port {settings.listen_port} is in use or not allowed: stop the other program, or "
                f"set MEDIQ_{settings.service.upper()}_PORT"
            ) from error
        self._metrics.start()
        await self.revocations.refresh()
        await self._server.start()
        await self._run_checks()
        work = (
            run_periodically(self._run_checks, CHECK_SECONDS, wait_first=True),
            run_periodically(lambda: _warn_of_ends(identity, self.clock), WARN_SECONDS),
            *(run_until_done(one, CHECK_SECONDS) for one in self._work),
        )
        self._tasks = [asyncio.create_task(one) for one in work]
        logs.logger().info("listening", port=port)
        return port

    async def stop(self) -> None:
        """Says NOT_SERVING, finishes the calls in progress, closes everything."""
        self.draining.set()
        await self._health.enter_graceful_shutdown()
        await self._server.stop(self.settings.drain_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for close in reversed(self._closers):
            await close()
        await asyncio.to_thread(self._metrics.close)

    async def _announce(self, *, ready: bool) -> None:
        states = health_pb2.HealthCheckResponse
        state = states.SERVING if ready else states.NOT_SERVING
        for name in ("", *services_of(self.settings.service)):
            await self._health.set(name, state)

    async def _run_checks(self) -> None:
        async def probe(name: str, check: Callable[[], Awaitable[None]]) -> tuple[str, str]:
            try:
                async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
                    await check()
            except Exception as error:
                return name, f"{type(error).__name__}: {error}"
            return name, ""

        found = await asyncio.gather(*(probe(*item) for item in self._checks.items()))
        failing_checks = {name: text for name, text in found if text}
        if failing_checks != self.failing_checks or not self._tasks:
            for name, text in failing_checks.items():
                logs.logger().warning("not ready", failing_checks=name, detail=text)
            await self._announce(ready=not failing_checks)
        self.failing_checks = failing_checks


async def _warn_of_ends(identity: IdentityFiles, clock: Clock) -> None:
    for name, end in identity.current().ending(clock()).items():
        logs.logger().warning("certificate ends soon", certificate=name, end=end.isoformat())


def run(settings: ServiceSettings, build: Callable[[Server], Awaitable[None]]) -> None:
    """Runs a service until SIGTERM or SIGINT.

    Args:
        settings: The service's settings.
        build: Adds servicers, checks and background work to the server.

    Raises:
        SystemExit: With a clear text when the service cannot start.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    logs.configure(settings.service, settings.log_level)
    provider = telemetry.configure(settings.service, settings.trace_ratio, settings.home / "traces")

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        server = Server(settings, utc_now)
        await build(server)
        # What start-up made stays: no collection walks over it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        await server.start()
        await stop.wait()
        await server.stop()

    try:
        uvloop.run(main())
    except (FileNotFoundError, RuntimeError, IdentityError, KeyFolderError) as error:
        raise SystemExit(f"{settings.service}: cannot start: {error}") from error
    finally:
        provider.shutdown()

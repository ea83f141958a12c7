"""Runs the whole mesh on one machine: six services and Envoy as children of this process."""

import asyncio
import fcntl
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from pathlib import Path
from typing import IO

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy.exc import SQLAlchemyError

import edge
from mesh import data_dir
from mesh.contract.methods import DESCRIPTOR_SET, SERVERS, methods_of, peer_name
from mesh.identity.tls import channel_credentials
from mesh.persistence.migrations import upgrade
from mesh.registry import databases_of, installed_services, services_with_database
from ops.process import ManagedProcess

READY_SECONDS = 60.0
"""How long a start may take before it counts as failed."""
POLL_SECONDS = 0.1
STOP_SECONDS = 8.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0
STEADY_SECONDS = 30.0
"""A child that ran this long starts again at once when it dies."""
EDGE = "envoy"


class StartError(Exception):
    """The mesh cannot start; the text says what to do."""


@dataclass(frozen=True)
class MeshLayout:
    """Where everything listens."""

    home: Path
    """Data folder."""
    edge_port: int = 8601
    """Port of the REST API."""
    admin_port: int = 8600
    """Port of Envoy's administration."""
    ports: Mapping[str, int] = field(
        default_factory=lambda: {name: SERVERS[name].port for name in installed_services()}
    )
    """Port of each service."""

    @classmethod
    def from_environment(cls, folder: Path) -> "MeshLayout":
        """Default ports, or MEDIQ_PORT, MEDIQ_ENVOY_ADMIN_PORT and MEDIQ_<NAME>_PORT."""
        variables = os.environ
        return cls(
            folder,
            int(variables.get("MEDIQ_PORT", "8601")),
            int(variables.get("MEDIQ_ENVOY_ADMIN_PORT", "8600")),
            {
                name: int(variables.get(f"MEDIQ_{name.upper()}_PORT", str(SERVERS[name].port)))
                for name in installed_services()
            },
        )

    @property
    def url(self) -> str:
        """Where the REST API answers."""
        return f"http://127.0.0.1:{self.edge_port}"

    def environment(self) -> dict[str, str]:
        """The variables that tell every service the plan."""
        variables = {
            **os.environ,
            "MEDIQ_HOME": str(self.home),
            "MEDIQ_MIGRATE_AT_START": "false",
            "PYTHONUNBUFFERED": "1",
            # The C library's arena per thread would double what a service keeps.
            "MALLOC_ARENA_MAX": "2",
        }
        for name, port in self.ports.items():
            variables[f"MEDIQ_{name.upper()}_PORT"] = str(port)
            variables[f"MEDIQ_{name.upper()}_ADDRESS"] = f"127.0.0.1:{port}"
        return variables

    def require_free_ports(self) -> None:
        """Looks whether every port can be taken.

        Raises:
            StartError: One is in use.
        """
        names = {self.edge_port: "MEDIQ_PORT", self.admin_port: "MEDIQ_ENVOY_ADMIN_PORT"}
        names |= {port: f"MEDIQ_{name.upper()}_PORT" for name, port in self.ports.items()}
        for port, variable in names.items():
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError as error:
                    raise StartError(
                        f"port {port} is in use: stop the other program (is the mesh running "
                        f"already?), or set {variable} to a free port"
                    ) from error


class Supervisor:
    """Starts the mesh, starts again what dies, stops everything in order."""

    def __init__(self, plan: MeshLayout, output: Callable[[str, str], None]) -> None:
        """Prepares; nothing runs before `start`.

        Args:
            plan: Where everything listens.
            output: Takes the name of a child and a line of its output.
        """
        self.plan = plan
        self.children: dict[str, ManagedProcess] = {}
        self._output = output
        self._watchers: list[asyncio.Task[None]] = []
        self._lock: IO[str] | None = None

    async def start(self) -> None:
        """Starts everything and waits until all of it is ready.

        Raises:
            StartError: Something is missing or does not become ready.
        """
        data_dir.prepare(self.plan.home)
        self._take_lock()
        self.plan.require_free_ports()
        await asyncio.to_thread(self._migrate)
        environment = self.plan.environment()
        for name in self.plan.ports:
            command = [sys.executable, "-m", name]
            await self._launch(ManagedProcess(name, command, environment, self._output))
        await self._launch(self._edge_child(environment))
        try:
            async with asyncio.timeout(READY_SECONDS):
                await asyncio.gather(*map(self._service_ready, self.plan.ports), self._edge_ready())
        except TimeoutError as error:
            raise StartError(
                f"not ready after {READY_SECONDS:.0f} s: see the lines above, or run mediq status"
            ) from error

    async def stop(self) -> None:
        """Closes the door first, then the services, callers before what they call."""
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        for group in ((EDGE,), *_callers_first(self.plan.ports)):
            children = [self.children[name] for name in group if name in self.children]
            await asyncio.gather(*(child.stop(STOP_SECONDS) for child in children))
        if self._lock is not None:
            self._lock.close()

    def _take_lock(self) -> None:
        self._lock = (self.plan.home / "mesh.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StartError(
                f"a mesh runs in {self.plan.home} already: stop it, or set MEDIQ_HOME"
            ) from error

    def _migrate(self) -> None:
        try:
            for name in services_with_database():
                for database in databases_of(name, self.plan.home):
                    upgrade(name, database.url)
        except SQLAlchemyError as error:
            raise StartError(
                f"a database cannot be brought up to date ({error}): check MEDIQ_*_DATABASE_URL "
                "and the space on its disk"
            ) from error

    def _edge_child(self, environment: dict[str, str]) -> ManagedProcess:
        folder = self.plan.home
        settings = replace(
            edge.EdgeSettings(),
            listen_port=self.plan.edge_port,
            admin_port=self.plan.admin_port,
            upstreams={
                name: (("127.0.0.1", self.plan.ports.get(name, SERVERS[name].port)),)
                for name in edge.EdgeSettings().upstreams
            },
            tls_folder=str(folder / "tls"),
            descriptor_set=str(DESCRIPTOR_SET),
            jwks_file=str(folder / "keys" / "jwks.json"),
        )
        path = folder / "envoy.yaml"
        edge.write(settings, path)
        try:
            command = edge.command(path)
        except FileNotFoundError as error:
            raise StartError(str(error)) from error
        return ManagedProcess(EDGE, command, environment, self._output)

    async def _launch(self, child: ManagedProcess) -> None:
        await child.start()
        self.children[child.name] = child
        self._watchers.append(asyncio.create_task(self._watch(child)))

    async def _watch(self, child: ManagedProcess) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            began = time.monotonic()
            status = await child.wait()
            if time.monotonic() - began > STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            self._output("mediq", f"{child.name} ended with {status}, starting it in {pause} s")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            await child.start()

    async def _service_ready(self, name: str) -> None:
        await until(lambda: serving(self.plan, name))

    async def _edge_ready(self) -> None:
        async def answers() -> bool:
            async with httpx.AsyncClient() as client:
                try:
                    reply = await client.get(f"{self.plan.url}/health")
                except httpx.TransportError:
                    return False
            return reply.status_code == httpx.codes.OK and bool(reply.json()["healthy"])

        await until(answers)


def _callers_first(names: Collection[str]) -> Iterator[Sequence[str]]:
    """Gives servers in groups, each after those that call it."""
    callers = {
        name: {peer_name(peer) for method in methods_of(name) for peer in method.policy.callers}
        for name in names
    }
    sorter = TopologicalSorter({name: callers[name] & callers.keys() for name in names})
    sorter.prepare()
    while sorter.is_active():
        ready = sorter.get_ready()
        yield ready
        sorter.done(*ready)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Waits for a condition; the caller sets the limit."""
    while not await condition():
        await asyncio.sleep(POLL_SECONDS)


async def serving(plan: MeshLayout, name: str) -> bool:
    """Whether a service says that it is ready."""
    credentials = channel_credentials(plan.home / "tls", "ops")
    options = [("grpc.ssl_target_name_override", name.replace("_", "-"))]
    address = f"127.0.0.1:{plan.ports[name]}"
    async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
        try:
            reply = await health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=1.0
            )
        except grpc.aio.AioRpcError:
            return False
    return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

"""Runs the whole mesh on one machine: six services and Envoy as processes below this one."""

import asyncio
import fcntl
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import replace
from graphlib import TopologicalSorter
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
from mesh.registry import databases_of, services_with_database
from ops.layout import MeshLayout, StartError
from ops.process import ManagedProcess

READY_SECONDS = 60.0
"""How long a start may take before it counts as failed."""
POLL_SECONDS = 0.1
STOP_SECONDS = 8.0
FIRST_RESTART_PAUSE_SECONDS = 0.5
MAX_RESTART_PAUSE_SECONDS = 10.0
STEADY_SECONDS = 30.0
"""A process that ran this long starts again after the first pause when it ends."""
ENVOY = "envoy"


class Supervisor:
    """Starts the mesh, starts again what ends by itself, stops everything in order."""

    def __init__(self, layout: MeshLayout, output: Callable[[str, str], None]) -> None:
        """Prepares the mesh; nothing runs before `start`.

        Args:
            layout: Where everything listens.
            output: Takes the name of a process and a line of its output.
        """
        self.layout = layout
        self._processes: dict[str, ManagedProcess] = {}
        self._output = output
        self._watchers: list[asyncio.Task[None]] = []
        self._lock: IO[str] | None = None

    async def start(self) -> None:
        """Starts everything and waits until all of it is ready.

        Raises:
            StartError: Something is missing or does not become ready.
        """
        data_dir.prepare(self.layout.data_dir)
        self._lock_data_dir()
        self.layout.require_free_ports()
        await asyncio.to_thread(self._migrate)
        environment = self.layout.environment()
        for name in self.layout.ports:
            command = [sys.executable, "-m", name]
            await self._launch(ManagedProcess(name, command, environment, self._output))
        await self._launch(self._envoy_process(environment))
        try:
            async with asyncio.timeout(READY_SECONDS):
                await asyncio.gather(
                    *map(self._wait_for_service, self.layout.ports), self._wait_for_envoy()
                )
        except TimeoutError as error:
            raise StartError(
                f"not ready after {READY_SECONDS:.0f} s: see the lines above, or run mediq status"
            ) from error

    async def stop(self) -> None:
        """Stops Envoy first, then the services, callers before what they call."""
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        for group in ((ENVOY,), *_callers_first(self.layout.ports)):
            processes = [self._processes[name] for name in group if name in self._processes]
            await asyncio.gather(*(process.stop(STOP_SECONDS) for process in processes))
        if self._lock is not None:
            self._lock.close()

    def _lock_data_dir(self) -> None:
        self._lock = (self.layout.data_dir / "mesh.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StartError(
                f"a mesh runs in {self.layout.data_dir} already: stop it, or set MEDIQ_HOME"
            ) from error

    def _migrate(self) -> None:
        try:
            for name in services_with_database():
                for database in databases_of(name, self.layout.data_dir):
                    upgrade(name, database.url)
        except SQLAlchemyError as error:
            raise StartError(
                f"a database cannot be brought up to date ({error}): check MEDIQ_*_DATABASE_URL "
                "and the space on its disk"
            ) from error

    def _envoy_process(self, environment: dict[str, str]) -> ManagedProcess:
        folder = self.layout.data_dir
        settings = replace(
            edge.EdgeSettings(),
            listen_port=self.layout.edge_port,
            admin_port=self.layout.admin_port,
            upstreams={
                name: (("127.0.0.1", self.layout.ports.get(name, SERVERS[name].port)),)
                for name in edge.EdgeSettings().upstreams
            },
            tls_folder=str(folder / "tls"),
            descriptor_set=str(DESCRIPTOR_SET),
            jwks_file=str(folder / "keys" / "jwks.json"),
        )
        path = folder / "envoy.yaml"
        edge.write_files(settings, path)
        try:
            command = edge.envoy_command(path)
        except FileNotFoundError as error:
            raise StartError(str(error)) from error
        return ManagedProcess(ENVOY, command, environment, self._output)

    async def _launch(self, process: ManagedProcess) -> None:
        await process.start()
        self._processes[process.name] = process
        self._watchers.append(asyncio.create_task(self._watch(process)))

    async def _watch(self, process: ManagedProcess) -> None:
        pause = FIRST_RESTART_PAUSE_SECONDS
        while True:
            began = time.monotonic()
            status = await process.wait()
            if time.monotonic() - began > STEADY_SECONDS:
                pause = FIRST_RESTART_PAUSE_SECONDS
            self._output("mediq", f"{process.name} ended with {status}, starting it in {pause} s")
            await asyncio.sleep(pause)
            pause = min(pause * 2, MAX_RESTART_PAUSE_SECONDS)
            await process.start()

    async def _wait_for_service(self, name: str) -> None:
        await wait_until(lambda: is_serving(self.layout, name))

    async def _wait_for_envoy(self) -> None:
        async def is_healthy() -> bool:
            async with httpx.AsyncClient() as client:
                try:
                    reply = await client.get(f"{self.layout.url}/health")
                except httpx.TransportError:
                    return False
            return reply.status_code == httpx.codes.OK and bool(reply.json()["healthy"])

        await wait_until(is_healthy)


def _callers_first(names: Collection[str]) -> Iterator[Sequence[str]]:
    """Yields servers in groups, each after those that call it."""
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


async def wait_until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Waits until a condition holds; the caller sets the limit."""
    while not await condition():
        await asyncio.sleep(POLL_SECONDS)


async def is_serving(layout: MeshLayout, name: str) -> bool:
    """Tells whether a service says that it is ready."""
    credentials = channel_credentials(layout.data_dir / "tls", "ops")
    options = [("grpc.ssl_target_name_override", name.replace("_", "-"))]
    address = f"127.0.0.1:{layout.ports[name]}"
    async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
        try:
            reply = await health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=1.0
            )
        except grpc.aio.AioRpcError:
            return False
    return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

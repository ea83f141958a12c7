"""The servers of a queue under measurement: gone when the measurement ends."""

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Self
from uuid import uuid4

import httpx
import psutil
from mediq.policy.v1.policy_pb2 import Role

import edge
from bench.databases import url_of
from bench.processes import edge_settings, environment_of, plan_of, stop_all
from bench.queue.client import Job, Result
from mesh import data_dir
from mesh.identity.tokens import TokenSigner
from ops.supervisor import is_serving, wait_until

READY_SECONDS = 30.0
TOKEN_SECONDS = 3600
COUNTERS = 16
# What queue_svc asks, and what it hands its audit trail to.
SERVICES = ("institution_svc", "queue_svc", "user_svc")


@dataclass(frozen=True)
class Place:
    """A facility with one service."""

    institution_id: str
    service_id: str
    counters: tuple[str, ...]


class Stack:
    """Envoy with one worker, queue_svc on MariaDB, institution_svc and user_svc on SQLite."""

    def __init__(self, folder: Path, database: str) -> None:
        """Starts nothing yet.

        Args:
            folder: An empty data folder.
            database: Name of the database of queue_svc.
        """
        self.plan = plan_of(folder)
        self.database = database
        self.children: dict[str, psutil.Process] = {}
        """The servers, by name."""
        self.token = ""
        """Of a network administrator."""
        self._processes: list[subprocess.Popen[bytes]] = []
        self._log = folder / "servers.log"

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _start(self) -> None:
        data_dir.prepare(self.plan.data_dir)
        self.token, _ = TokenSigner(self.plan.data_dir / "keys").sign(
            str(uuid4()),
            lifetime_seconds=TOKEN_SECONDS,
            session_id=str(uuid4()),
            role=Role.ROLE_ADMIN_FASKES,
        )
        path = self.plan.data_dir / "envoy.yaml"
        edge.write_files(edge_settings(self.plan), path)
        environment = environment_of(self.plan) | {
            "MEDIQ_MIGRATE_AT_START": "true",
            "MEDIQ_QUEUE_SVC_DATABASE_URL": url_of(self.database),
        }
        commands = {name: [sys.executable, "-m", name] for name in SERVICES} | {
            "envoy": edge.envoy_command(path, workers=1, log_level="off"),
        }
        with self._log.open("wb") as log:
            for name, command in commands.items():
                process = subprocess.Popen(
                    command, env=environment, stdout=log, stderr=subprocess.STDOUT
                )
                self._processes.append(process)
                self.children[name] = psutil.Process(process.pid)
        try:
            asyncio.run(self._services_ready())
            self._edge_ready()
        except TimeoutError as error:
            text = self._log.read_text("utf-8", "replace")[-2000:]
            raise SystemExit(f"the servers did not become ready:\n{text}") from error

    def _stop(self) -> None:
        stop_all(reversed(self._processes))

    async def _services_ready(self) -> None:
        async with asyncio.timeout(READY_SECONDS):
            for name in SERVICES:
                await wait_until(partial(is_serving, self.plan, name))

    def _edge_ready(self) -> None:
        ends = time.monotonic() + READY_SECONDS
        while time.monotonic() < ends:
            with contextlib.suppress(httpx.TransportError):
                answers = [
                    httpx.get(f"{self.plan.url}{path}").status_code
                    for path in ("/institutions", f"/queue/boards/{uuid4()}")
                ]
                if answers == [httpx.codes.OK, httpx.codes.NOT_FOUND]:
                    return
            time.sleep(0.2)
        raise TimeoutError

    def place(self) -> Place:
        """A new facility with one service and its counters, made through the API."""
        headers = {"authorization": f"Bearer {self.token}"}
        with httpx.Client(base_url=self.plan.url, headers=headers, timeout=10) as client:

            def made(path: str, **body: str) -> str:
                reply = client.post(path, json=body)
                if not reply.is_success:
                    raise SystemExit(f"{path} was refused: {reply.text}")
                identifier: str = reply.json()["id"]
                return identifier

            institution = made(
                "/institutions", name=f"Bench {uuid4()}", city="Bandung", timeZone="Asia/Jakarta"
            )
            path = f"/institutions/{institution}"
            service = made(f"{path}/services", name="Poli Umum", prefix="A")
            counters = [made(f"{path}/counters", name=f"Loket {n + 1}") for n in range(COUNTERS)]
            return Place(institution, service, tuple(counters))

    def issue(self, place: Place, tickets: int, *, writers: int = 16, refused: float = 0) -> Result:
        """Issues tickets; see `Job`."""
        return self.load(self._issuing(place, tickets, writers, refused))

    def call(self, place: Place, tickets: int) -> Result:
        """Calls tickets at all counters; see `Job`."""
        return self.load(self._calling(place, tickets))

    def issue_and_call(self, place: Place, tickets: int, writers: int) -> tuple[Result, Result]:
        """Calls tickets while they come in, faster than they come."""
        with self.client(self._calling(place, tickets)) as calling:
            issued = self.load(self._issuing(place, tickets, writers, 0))
            return issued, calling.result()

    def load(self, job: Job) -> Result:
        """Does a job in a process of its own."""
        with self.client(job) as client:
            return client.result()

    @contextmanager
    def watching(self, paths: list[str], *, token: str = "") -> Iterator["Client"]:
        """Watchers of live streams, all of which have their first message."""
        job = Job("watch", self.plan.edge_port, token, paths=tuple(paths))
        with self.client(job) as client:
            client.until_ready()
            yield client

    @contextmanager
    def client(self, job: Job) -> Iterator["Client"]:
        """A client that has begun its job."""
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.queue.client"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        client = Client(process)
        try:
            client.tell(json.dumps(asdict(job)))
            yield client
        finally:
            process.kill()
            process.communicate()

    def _issuing(self, place: Place, tickets: int, writers: int, refused: float) -> Job:
        return Job(
            "issue",
            self.plan.edge_port,
            self.token,
            place.institution_id,
            place.service_id,
            writers=writers,
            tickets=tickets,
            refused_share=refused,
        )

    def _calling(self, place: Place, tickets: int) -> Job:
        return Job(
            "call",
            self.plan.edge_port,
            self.token,
            place.institution_id,
            place.service_id,
            counters=place.counters,
            tickets=tickets,
        )


@dataclass(frozen=True)
class Client:
    """A process that makes load."""

    process: "subprocess.Popen[str]"

    def tell(self, line: str) -> None:
        """Gives it a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def until_ready(self) -> None:
        """Waits until it says so."""
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "ready\n":
            raise SystemExit("a client did not become ready")

    def stop(self) -> Result:
        """Ends its watching; what it saw."""
        self.tell("stop")
        return self.result()

    def result(self) -> Result:
        """Waits for its result."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a client failed")
        return Result(**json.loads(line))

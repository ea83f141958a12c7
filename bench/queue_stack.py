"""The processes under measurement, and their databases: gone when the measurement ends."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import httpx
import psutil
import pymysql
from mediq.policy.v1.policy_pb2 import Role
from pymysql.connections import Connection as Sql
from sqlalchemy import make_url

from bench.queue_client import Job, Result
from mesh import edge, home
from mesh.contracts import DESCRIPTOR_SET, SERVICES
from mesh.migrations import upgrade
from mesh.supervisor import Plan, serving, until
from mesh.tokens import TokenSigner

SERVER = os.environ.get("MEDIQ_TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/")
READY_SECONDS = 30.0
STOP_SECONDS = 10.0
TOKEN_SECONDS = 3600
COUNTERS = 16


@dataclass(frozen=True)
class Place:
    """A facility with one service."""

    institution_id: str
    service_id: str
    counters: tuple[str, ...]


def connect(database: str | None = None) -> Sql:
    """A connection as plain code would open it, READ COMMITTED."""
    url = make_url(SERVER)
    return pymysql.connect(
        host=url.host or "127.0.0.1",
        port=url.port or 3306,
        user=url.username or "root",
        password=url.password or "",
        database=database,
        charset="utf8mb4",
        init_command="SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    )


def query(database: str | None, text: str, *values: object) -> list[tuple[Any, ...]]:
    """The rows of one query."""
    with contextlib.closing(connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute(text, values)
        return list(cursor.fetchall())


@contextmanager
def database() -> Iterator[str]:
    """A database of its own with the tables of queue_svc; dropped at the end."""
    name = f"mediq_bench_{os.getpid()}_{uuid4().hex[:8]}"
    query(None, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    try:
        upgrade("queue_svc", url_of(name))
        yield name
    finally:
        query(None, f"DROP DATABASE {name}")


def url_of(name: str) -> str:
    """The URL of a database for a service."""
    return make_url(SERVER).set(database=name).render_as_string(hide_password=False)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def _edge_settings(plan: Plan) -> edge.EdgeSettings:
    unlimited = edge.Bucket(10_000_000, 10_000_000)
    defaults = edge.EdgeSettings()
    return replace(
        defaults,
        listen_port=plan.edge_port,
        admin_port=plan.admin_port,
        upstreams={name: (("127.0.0.1", plan.ports[name]),) for name in defaults.upstreams},
        tls_folder=str(plan.home / "tls"),
        descriptor_set=str(DESCRIPTOR_SET),
        jwks_file=str(plan.home / "keys" / "jwks.json"),
        access_log="/dev/null",
        rates={rate: edge.Rates(unlimited, unlimited) for rate in defaults.rates},
    )


class Stack:
    """Envoy with one worker, queue_svc on MariaDB, institution_svc on SQLite."""

    def __init__(self, folder: Path, database: str) -> None:
        """Starts nothing yet.

        Args:
            folder: An empty data folder.
            database: Name of the database of queue_svc.
        """
        edge_port, admin_port, *ports = _free_ports(2 + len(SERVICES))
        self.plan = Plan(folder, edge_port, admin_port, dict(zip(SERVICES, ports, strict=True)))
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
        home.prepare(self.plan.home)
        self.token, _ = TokenSigner(self.plan.home / "keys").sign(
            str(uuid4()),
            lifetime_seconds=TOKEN_SECONDS,
            session_id=str(uuid4()),
            role=Role.ROLE_ADMIN_FASKES,
        )
        path = self.plan.home / "envoy.yaml"
        edge.write(_edge_settings(self.plan), path)
        # Nothing from outside changes what is measured.
        kept = {k: v for k, v in self.plan.environment().items() if k not in _foreign(self.plan)}
        environment = {
            **kept,
            "MEDIQ_LOG_LEVEL": "CRITICAL",
            "MEDIQ_MIGRATE_AT_START": "true",
            "MEDIQ_QUEUE_SVC_DATABASE_URL": url_of(self.database),
        }
        commands = {
            "institution_svc": [sys.executable, "-m", "institution_svc"],
            "queue_svc": [sys.executable, "-m", "queue_svc"],
            "envoy": edge.command(path, workers=1, log_level="off"),
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
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    async def _services_ready(self) -> None:
        async with asyncio.timeout(READY_SECONDS):
            for name in ("institution_svc", "queue_svc"):
                await until(partial(serving, self.plan, name))

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
            [sys.executable, "-m", "bench.queue_client"],
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


def _foreign(plan: Plan) -> set[str]:
    """Variables of this project that the plan did not set."""
    own = {
        "MEDIQ_HOME",
        *(f"MEDIQ_{n.upper()}_{k}" for n in plan.ports for k in ("PORT", "ADDRESS")),
    }
    return {name for name in os.environ if name.startswith("MEDIQ_")} - own


def cpu_seconds(process: psutil.Process) -> float:
    """Processor time that a process has taken, its threads included."""
    used = process.cpu_times()
    return float(used.user + used.system)


def database_server() -> psutil.Process | None:
    """The process of the database server; None when it is on another machine."""
    for process in psutil.process_iter(["name"]):
        if process.info["name"] in ("mariadbd", "mysqld"):
            return process
    return None

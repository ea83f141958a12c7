"""The account service behind Envoy with many patients, and a bare echo behind the same Envoy."""

import asyncio
import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Self
from uuid import uuid4

import httpx
import psutil
from mediq.policy.v1.policy_pb2 import Scope
from sqlalchemy import make_url
from sqlalchemy.orm import Session

import edge
from bench.processes import (
    cpu_seconds,
    database_server,
    edge_settings,
    environment_of,
    plan_of,
    stop_all,
)
from mesh import data_dir
from mesh.clock import utc_now
from mesh.encryption.field_cipher import FieldCipher
from mesh.identity.tokens import TokenSigner
from mesh.persistence.database import Database
from mesh.persistence.migrations import upgrade
from ops.supervisor import is_serving, wait_until
from user_svc.domain.accounts import Account, Person, Role
from user_svc.persistence.account_cipher import AccountCipher
from user_svc.persistence.account_repository import AccountRepository

CONNECTIONS = 32
READY_SECONDS = 30.0
TOKEN_SECONDS = 3600
SCRIPT = Path(__file__).with_name("load.lua")
_SCALES = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class Load:
    """What one round of wrk gave."""

    rate: float
    """Calls a second."""
    p99: float
    """Milliseconds."""
    cpu: Mapping[str, float] = field(default_factory=dict)
    """Microseconds of processor time a call, by server: other programs on the machine change them
    less than the rate."""


def _wrk(url: str, seconds: int, *script: str) -> Load:
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", url]
    if script:
        command += ["-s", str(SCRIPT), "--", *script]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", printed)
    tail = re.search(r"99%\s+([\d.]+)(us|ms|s)", printed)
    if "Non-2xx" in printed or "Socket errors" in printed or rate is None or tail is None:
        raise SystemExit(f"{url} was refused, or wrk printed something else:\n{printed}")
    return Load(float(rate[1]), float(tail[1]) * _SCALES[tail[2]])


def _person(number: int) -> Person:
    """A patient as a card gives them: a woman born on 15 August 1990."""
    area, serial = divmod(number, 9_999)
    return Person(
        role=Role.PASIEN,
        nama=f"SITI RAHMAWATI {number}",
        nik=f"3201{area + 1:02d}550890{serial + 1:04d}",
        tempat_lahir="BANDUNG",
        tanggal_lahir="1990-08-15",
        jenis_kelamin="PEREMPUAN",
        alamat="JALAN MERDEKA 17 RT 001 RW 002",
    )


class IdentityStack:
    """Envoy, user_svc with its real settings on one database, and the echo."""

    def __init__(self, folder: Path, database_url: str, patients: int, strangers: int) -> None:
        """Starts nothing yet.

        Args:
            folder: An empty data folder.
            database_url: Of user_svc. Empty: SQLite in the data folder.
            patients: Accounts that sign in and read, each with a session that reads on.
            strangers: Further sessions. More than the service remembers, so that it has always
                forgotten the one that comes next.
        """
        self.plan = plan_of(folder)
        self._url = database_url or f"sqlite:///{folder / 'data' / 'user_svc.db'}"
        self._patients = patients
        self._strangers = strangers
        self._used = {"login": 0, "read": 0, "stranger": 0}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
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

    def logins(self, seconds: int) -> Load:
        """Patients who sign in, another one each time."""
        return self._lines("login", "/auth/login/user", seconds)

    def reads(self, seconds: int) -> Load:
        """Patients who read their profile, another session each time, each of them again."""
        return self._lines("read", "/users/profile", seconds)

    def first_reads(self, seconds: int) -> Load:
        """Patients who read their profile, with a token that the service does not remember."""
        return self._lines("stranger", "/users/profile", seconds)

    def echoes(self, seconds: int) -> Load:
        """Calls that a bare server answers."""
        return self._counted(f"/institutions/{uuid4()}", seconds)

    def _lines(self, kind: str, path: str, seconds: int) -> Load:
        script = (kind, str(self._file(kind)), str(self._used[kind]))
        found = self._counted(path, seconds, *script)
        self._used[kind] += int(found.rate * seconds)
        return found

    def _counted(self, path: str, seconds: int, *script: str) -> Load:
        servers = {name: psutil.Process(one.pid) for name, one in self._processes.items()}
        on_server = make_url(self._url).get_backend_name() != "sqlite"
        if on_server and (server := database_server()) is not None:
            servers["database"] = server
        before = {name: cpu_seconds(one) for name, one in servers.items()}
        found = _wrk(self.plan.url + path, seconds, *script)
        calls = found.rate * seconds
        cpu = {
            name: (cpu_seconds(one) - before[name]) / calls * 1e6 for name, one in servers.items()
        }
        return replace(found, cpu=cpu)

    def _file(self, kind: str) -> Path:
        return self.plan.data_dir / f"{kind}.lines"

    def _start(self) -> None:
        data_dir.prepare(self.plan.data_dir)
        accounts = asyncio.run(self._fill())
        tokens = self._tokens(accounts, self._patients + self._strangers)
        self._file("read").write_text("\n".join(tokens[: self._patients]))
        self._file("stranger").write_text("\n".join(tokens[self._patients :]))
        bodies = [json.dumps({"nik": one.nik, "name": one.nama}) for one in accounts]
        self._file("login").write_text("\n".join(bodies))
        path = self.plan.data_dir / "envoy.yaml"
        edge.write_files(edge_settings(self.plan), path)
        environment = environment_of(self.plan) | {"MEDIQ_USER_SVC_DATABASE_URL": self._url}
        echo = str(self.plan.ports["institution_svc"])
        with self._log.open("wb") as log:
            for name, command in {
                "user_svc": [sys.executable, "-m", "user_svc"],
                "echo": [sys.executable, "-m", "bench.servers", "bare", echo],
                "envoy": edge.envoy_command(path, log_level="off"),
            }.items():
                self._processes[name] = subprocess.Popen(
                    command, env=environment, stdout=log, stderr=subprocess.STDOUT
                )
        try:
            asyncio.run(self._services_ready())
            self._edge_ready(tokens[0])
        except TimeoutError as error:
            text = self._log.read_text("utf-8", "replace")[-2000:]
            raise SystemExit(f"the servers did not become ready:\n{text}") from error

    def _tokens(self, accounts: list[Account], count: int) -> list[str]:
        """Tokens of as many sessions, evenly of all patients."""
        signer = TokenSigner(self.plan.data_dir / "keys")
        return [
            signer.sign(
                accounts[number % len(accounts)].id,
                lifetime_seconds=TOKEN_SECONDS,
                session_id=str(uuid4()),
                scope=Scope.SCOPE_TICKETS,
            )[0]
            for number in range(count)
        ]

    async def _fill(self) -> list[Account]:
        upgrade("user_svc", self._url)
        cipher = AccountCipher(FieldCipher.load(self.plan.data_dir / "keys", "user_svc"))

        def fill(session: Session) -> list[Account]:
            accounts = AccountRepository(session, cipher)
            return [
                accounts.ensure_patient(_person(number), utc_now())[0]
                for number in range(self._patients)
            ]

        database = Database(self._url)
        try:
            return await database.write(fill)
        finally:
            await database.close()

    async def _services_ready(self) -> None:
        async with asyncio.timeout(READY_SECONDS):
            for name in ("user_svc", "institution_svc"):
                await wait_until(partial(is_serving, self.plan, name))

    def _edge_ready(self, token: str) -> None:
        paths = ("/users/profile", f"/institutions/{uuid4()}")
        headers = {"authorization": f"Bearer {token}"}
        ends = time.monotonic() + READY_SECONDS
        while time.monotonic() < ends:
            with contextlib.suppress(httpx.TransportError):
                if all(httpx.get(self.plan.url + one, headers=headers).is_success for one in paths):
                    return
            time.sleep(0.2)
        raise TimeoutError

    def _stop(self) -> None:
        stop_all(reversed(self._processes.values()))

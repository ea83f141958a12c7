"""One mesh for all tests here, started by the command that a person would type."""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from mesh.contract.methods import SERVERS
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_SECONDS, eventually_now

MEDIQ = str(Path(sys.executable).parent / "mediq")
START_SECONDS = 300
Json = dict[str, Any]


@dataclass
class Running:
    """A mesh that serves."""

    process: subprocess.Popen[bytes]
    environment: dict[str, str]
    url: str
    log: Path

    def mediq(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [MEDIQ, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def children(self) -> dict[str, psutil.Process]:
        """The processes of the mesh by name."""
        found = {}
        for child in psutil.Process(self.process.pid).children():
            words = child.cmdline()
            name = words[2] if len(words) > 2 and words[1] == "-m" else "envoy"
            found[name] = child
        return found

    def healthy(self) -> bool:
        try:
            reply = httpx.get(f"{self.url}/health", timeout=PATIENCE_SECONDS)
        except httpx.TransportError:
            return False
        return reply.status_code == httpx.codes.OK and bool(reply.json()["healthy"])

    def wait_healthy(self, seconds: float = PATIENCE_SECONDS) -> None:
        def healthy() -> bool:
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            return self.healthy()

        eventually_now(healthy, seconds, every_seconds=0.2)


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("e2e")
    ports = {name: free_port() for name in SERVERS}
    edge = free_port()
    environment = {
        **os.environ,
        "MEDIQ_HOME": str(folder / "home"),
        "MEDIQ_PORT": str(edge),
        "MEDIQ_ENVOY_ADMIN_PORT": str(free_port()),
        **{f"MEDIQ_{name.upper()}_PORT": str(port) for name, port in ports.items()},
    }
    log = folder / "mediq.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [MEDIQ, "up"], env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        found = Running(process, environment, f"http://127.0.0.1:{edge}", log)
        try:
            found.wait_healthy(START_SECONDS)
            yield found
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(300)


@dataclass
class Facility:
    """A facility with a service, a counter and people who work there."""

    institution: str
    service: str
    counter: str
    admin: dict[str, str]
    operator: dict[str, str]


def _bearer(client: httpx.Client, email: str, password: str) -> dict[str, str]:
    reply = client.post("/auth/login/admin", json={"email": email, "password": password})
    assert reply.status_code == httpx.codes.OK, reply.text
    return {"authorization": f"Bearer {reply.json()['accessToken']}"}


@pytest.fixture(scope="package")
def client(running: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url, timeout=PATIENCE_SECONDS) as made:
        yield made


@pytest.fixture(scope="package")
def facility(running: Running, client: httpx.Client) -> Facility:
    created = running.mediq("admin", "create", "--email", "ops@mediq.example", "--json")
    assert created.returncode == 0, created.stderr
    account = json.loads(created.stdout)
    admin = _bearer(client, account["email"], account["password"])

    def post(path: str, body: Json) -> Json:
        reply = client.post(path, json=body, headers=admin)
        assert reply.status_code == httpx.codes.OK, reply.text
        made: Json = reply.json()
        return made

    body = {"name": "Puskesmas Uji", "city": "Bandung", "timeZone": "Asia/Jakarta"}
    institution = post("/institutions", body)["id"]
    path = f"/institutions/{institution}"
    service = post(f"{path}/services", {"name": "Poli Umum", "prefix": "A"})["id"]
    counter = post(f"{path}/counters", {"name": "Loket 1"})["id"]
    password = uuid.uuid4().hex
    operator = {
        "email": "loket@mediq.example",
        "password": password,
        "nama": "Operator",
        "role": "ROLE_OPERATOR",
        "institutionId": institution,
    }
    post("/users", operator)
    return Facility(
        institution, service, counter, admin, _bearer(client, "loket@mediq.example", password)
    )


@pytest.fixture(scope="package")
def card(running: Running, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A drawn card, as a photo."""
    path = tmp_path_factory.mktemp("cards") / "ktp.jpg"
    drawn = running.mediq("sample-card", str(path), "--seed", "11")
    assert drawn.returncode == 0, drawn.stderr
    return path.read_bytes()

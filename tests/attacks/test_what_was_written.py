"""What the mesh has written during all the attacks. The last file of the folder, by its name."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from mesh.contracts import SERVICES
from tests.attacks.conftest import SPAN_MILLISECONDS
from tests.attacks.world import World

pytestmark = [pytest.mark.model, pytest.mark.timeout(60)]
NUMBER = re.compile(r"(?<![\w.-])\d{16}(?![\w.-])")
TOKEN = re.compile(r"eyJ[\w-]{8,}")


def found_in(text: str, secrets: Iterable[str]) -> list[str]:
    """What a text gives away, shortened."""
    found = [*NUMBER.findall(text), *TOKEN.findall(text)]
    found += [secret for secret in secrets if secret in text]
    return [f"{one[:6]}..." for one in found]


def outputs(world: World) -> list[Path]:
    """The logs of all processes and the traces."""
    time.sleep(5 * SPAN_MILLISECONDS / 1000)
    logs = world.running.log.parent.glob("*.log")
    return [*logs, *(world.home / "traces").iterdir()]


def test_the_scan_finds_what_it_looks_for(world: World) -> None:
    nik = world.first.nik
    assert found_in(f'{{"nik": "{nik}"}}', ())
    assert found_in(f"user {nik} failed", ())
    assert found_in(world.network.headers["authorization"], ())
    assert found_in(f"login {world.first.operator.password}", world.secrets)
    assert found_in(f"name={world.first.patient_name}", world.secrets)
    assert not found_in("2026-01-01T00:00:00.0000000Z 4bf92f3577b34da6a3ce929d0e0e4736", ())


def test_logs_and_traces_give_nobody_away(world: World) -> None:
    files = outputs(world)
    assert {path.stem for path in files} >= {*SERVICES, "mediq"}
    for path in files:
        text = path.read_text()
        assert text, path
        for line in text.splitlines():
            assert not found_in(line, world.secrets), f"{path.name}: {line[:300]}"


def test_the_log_holds_every_service_and_the_edge(world: World) -> None:
    """A scan of nothing would find nothing."""
    lines = world.running.log.read_text().splitlines()
    begins = {line.partition("|")[0].strip() for line in lines if "|" in line}
    assert begins >= {*SERVICES, "envoy"}
    assert sum('"verb":"POST"' in line for line in lines) > 50
    spans = (world.home / "traces" / "user_svc.jsonl").read_text().splitlines()
    named = {json.loads(line)["name"] for line in spans}
    assert "mediq.user.v1.AuthService/LoginUser" in named


def test_databases_hold_no_plain_identity(world: World) -> None:
    files = [path for path in (world.home / "data").iterdir() if path.is_file()]
    assert {path.stem for path in files} >= {"user_svc", "queue_svc", "ocr_svc"}
    for path in files:
        content = path.read_bytes()
        assert not [secret[:6] for secret in world.secrets if secret.encode() in content], path.name

"""What a real read costs behind Envoy, against a bare echo behind the same Envoy.

The load comes from wrk, so that the client takes little of the two cores.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import httpx
from mediq.policy.v1.policy_pb2 import Role

from bench.table import Row
from mesh import edge
from mesh.contracts import DESCRIPTOR_SET
from mesh.tokens import TokenSigner

ROUNDS = 4
ROUND_SECONDS = 4
CONNECTIONS = 32
EDGE, ADMIN, PROFILE, ECHO = 18710, 18711, 18712, 18713
START_SECONDS = 30


def _settings(folder: Path) -> edge.EdgeSettings:
    unlimited = edge.Bucket(10_000_000, 10_000_000)
    defaults = edge.EdgeSettings()
    return replace(
        defaults,
        listen_port=EDGE,
        admin_port=ADMIN,
        upstreams={
            name: (("127.0.0.1", ECHO if name == "institution_svc" else PROFILE),)
            for name in defaults.upstreams
        },
        tls_folder=str(folder / "tls"),
        descriptor_set=str(DESCRIPTOR_SET),
        jwks_file=str(folder / "keys" / "jwks.json"),
        access_log="/dev/null",
        rates={rate: edge.Rates(unlimited, unlimited) for rate in defaults.rates},
    )


def _account(environment: dict[str, str]) -> str:
    program = str(Path(sys.executable).parent / "mediq")
    command = [program, "admin", "create", "--email", "bench@mediq.example", "--json"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True)
    identifier: str = json.loads(done.stdout)["id"]
    return identifier


def _load(path: str, token: str = "") -> tuple[float, float]:
    """Calls a second, and the 99th percentile in milliseconds."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{ROUND_SECONDS}s", "--latency"]
    if token:
        command += ["-H", f"Authorization: Bearer {token}"]
    printed = subprocess.run(
        [*command, f"http://127.0.0.1:{EDGE}{path}"], check=True, capture_output=True, text=True
    ).stdout
    if "Non-2xx" in printed:
        raise SystemExit(f"{path} was refused:\n{printed}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", printed)
    tail = re.search(r"99%\s+([\d.]+)(us|ms|s)", printed)
    if rate is None or tail is None:
        raise SystemExit(f"wrk printed something else:\n{printed}")
    scale = {"us": 0.001, "ms": 1.0, "s": 1000.0}[tail[2]]
    return float(rate[1]), float(tail[1]) * scale


def _wait(path: str, headers: dict[str, str]) -> None:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends:
        try:
            if httpx.get(f"http://127.0.0.1:{EDGE}{path}", headers=headers).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"{path} did not become ready")


def measure(folder: Path) -> list[Row]:
    """Alternates rounds between a profile and the echo.

    Args:
        folder: A prepared data folder.
    """
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is missing: install it (Debian: apt install wrk)")
    environment = {
        **os.environ,
        "MEDIQ_HOME": str(folder),
        "MEDIQ_LOG_LEVEL": "WARNING",
        "MEDIQ_USER_SVC_PORT": str(PROFILE),
    }
    subject = _account(environment)
    token, _ = TokenSigner(folder / "keys").sign(
        subject, lifetime_seconds=600, session_id=str(uuid4()), role=Role.ROLE_ADMIN_FASKES
    )
    path = folder / "envoy.yaml"
    edge.write(_settings(folder), path)
    commands = [
        [sys.executable, "-m", "user_svc"],
        [sys.executable, "-m", "bench.servers", "bare", str(ECHO)],
        edge.command(path, log_level="error"),
    ]
    children = [subprocess.Popen(command, env=environment) for command in commands]
    echo, profile = f"/institutions/{uuid4()}", "/users/profile"
    try:
        _wait(echo, {})
        _wait(profile, {"Authorization": f"Bearer {token}"})
        rounds = [(_load(profile, token), _load(echo)) for _ in range(ROUNDS)]
    finally:
        for child in children:
            child.terminate()
            child.wait()
    ratio = statistics.median(mine[0] / base[0] for mine, base in rounds)
    rates = [statistics.median(pair[side][0] for pair in rounds) for side in (0, 1)]
    tail = statistics.median(mine[1] for mine, _ in rounds)
    note = f"{rates[0]:.0f} against {rates[1]:.0f} calls/s"
    return [
        Row("profile read / bare echo, both through Envoy", ratio * 100, "%", 40, True, note),
        Row(f"profile read p99 at {CONNECTIONS} connections", tail, "ms", 30, False),
    ]

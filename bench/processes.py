"""Processes under measurement: where they listen, what they are told, how they end."""

import signal
import socket
import subprocess
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import FrameType

import psutil

import edge
from mesh.contract.methods import DESCRIPTOR_SET, SERVERS
from ops.layout import MeshLayout

STOP_SECONDS = 10.0


def plan_of(folder: Path) -> MeshLayout:
    """A plan on ports that are free now."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(2 + len(SERVERS))]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        edge_port, admin_port, *ports = [probe.getsockname()[1] for probe in probes]
    return MeshLayout(folder, edge_port, admin_port, dict(zip(SERVERS, ports, strict=True)))


def edge_settings(plan: MeshLayout) -> edge.EdgeSettings:
    """Envoy as it is, but without rate limits, its own and those of all Envoys, and access log."""
    unlimited = edge.Bucket(10_000_000, 10_000_000)
    defaults = edge.EdgeSettings()
    return replace(
        defaults,
        listen_port=plan.edge_port,
        admin_port=plan.admin_port,
        upstreams={name: (("127.0.0.1", plan.ports[name]),) for name in defaults.upstreams},
        tls_folder=str(plan.data_dir / "tls"),
        descriptor_set=str(DESCRIPTOR_SET),
        jwks_file=str(plan.data_dir / "keys" / "jwks.json"),
        access_log="/dev/null",
        rates={rate: edge.Rates(unlimited, unlimited) for rate in defaults.rates},
        global_limits=False,
    )


def environment_of(plan: MeshLayout) -> dict[str, str]:
    """The plan's variables; none of this project's from outside changes what is measured."""
    own = {
        "MEDIQ_HOME",
        *(f"MEDIQ_{n.upper()}_{k}" for n in plan.ports for k in ("PORT", "ADDRESS")),
    }
    variables = plan.environment()
    kept = {k: v for k, v in variables.items() if not k.startswith("MEDIQ_") or k in own}
    return kept | {"MEDIQ_LOG_LEVEL": "CRITICAL"}


def _end(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


def clean_up_on_sigterm() -> None:
    """Ends this process through its `finally` blocks: no server and no database is left behind."""
    signal.signal(signal.SIGTERM, _end)


def stop_all(processes: "Iterable[subprocess.Popen[bytes]]") -> None:
    """Ends processes, those first that were named first."""
    for process in processes:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


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

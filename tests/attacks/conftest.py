"""One whole mesh for all attacks, with everything logged and every call traced."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import httpx
import pytest
from mediq.queue.v1.live_service_pb2 import WatchEventsRequest, WatchEventsResponse

import edge
from mesh.contract.methods import DESCRIPTOR_SET, SERVERS
from mesh.identity.tls import channel_credentials
from tests.attacks.doors import Doors
from tests.attacks.world import Founder, World
from tests.e2e.conftest import START_SECONDS, Running
from tests.edge.conftest import running as running_edge
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_SECONDS

RawStream: TypeAlias = "grpc.UnaryStreamMultiCallable[Any, Any]"
ROOT = Path(__file__).parents[2]
GLOBAL_LIMITS = [
    f"{whose}_{what}"
    for whose in ("ADDRESS", "ALL")
    for what in ("LOGINS", "REGISTRATIONS", "UPLOADS")
]
"""What the gateway counts for all Envoys together."""
BODY_SECONDS = 2
"""Time for a request at the strict edge."""
SPAN_MILLISECONDS = 200
"""How soon spans are written."""


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("attacks")
    edge = free_port()
    environment = {
        **os.environ,
        "MEDIQ_HOME": str(folder / "home"),
        "MEDIQ_PORT": str(edge),
        "MEDIQ_ENVOY_ADMIN_PORT": str(free_port()),
        "MEDIQ_LOG_LEVEL": "DEBUG",
        "MEDIQ_TRACE_RATIO": "1",
        "MEDIQ_QUEUE_SVC_FHIR_EXPORT": "true",
        "MEDIQ_OCR_SVC_RETENTION_DAYS": "0",
        # A quarter of the work of a password, which is still far above that of the rest of a login.
        "MEDIQ_USER_SVC_BCRYPT_COST": "10",
        **{f"MEDIQ_GATEWAY_{name}": "1000000" for name in GLOBAL_LIMITS},
        "OTEL_BSP_SCHEDULE_DELAY": str(SPAN_MILLISECONDS),
        **{f"MEDIQ_{name.upper()}_PORT": str(free_port()) for name in SERVERS},
    }
    log = folder / "mediq.log"
    command = [sys.executable, "-m", "tests.attacks.generous"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT
        )
        found = Running(process, environment, f"http://127.0.0.1:{edge}", log)
        try:
            found.wait_healthy(START_SECONDS)
            yield found
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(300)


@pytest.fixture(scope="package")
def client(running: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url, timeout=PATIENCE_SECONDS) as made:
        yield made


@pytest.fixture(scope="package")
def photo(running: Running, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A drawn card, as a photo."""
    path = tmp_path_factory.mktemp("cards") / "ktp.jpg"
    drawn = running.mediq("sample-card", str(path), "--seed", "11")
    assert drawn.returncode == 0, drawn.stderr
    return path.read_bytes()


@pytest.fixture(scope="package")
def heard(running: Running) -> Iterator[list[WatchEventsResponse]]:
    """What subscribers of events, and so the broker, are told during all the attacks."""
    found: list[WatchEventsResponse] = []
    credentials = channel_credentials(Path(running.environment["MEDIQ_HOME"]) / "tls", "ops")
    options = [("grpc.ssl_target_name_override", "queue-svc")]
    address = f"127.0.0.1:{running.environment['MEDIQ_QUEUE_SVC_PORT']}"
    with grpc.secure_channel(address, credentials, options) as channel:
        call: RawStream = channel.unary_stream(
            "/mediq.queue.v1.LiveService/WatchEvents",
            request_serializer=WatchEventsRequest.SerializeToString,
            response_deserializer=WatchEventsResponse.FromString,
        )
        stream = call(WatchEventsRequest())

        def follow() -> None:
            with contextlib.suppress(grpc.RpcError):
                found.extend(stream)

        following = threading.Thread(target=follow)
        following.start()
        yield found
        stream.cancel()
        following.join()


@pytest.fixture(scope="package")
def world(
    running: Running, client: httpx.Client, photo: bytes, heard: list[WatchEventsResponse]
) -> World:
    return Founder(running, client, photo).found()


@pytest.fixture(scope="package")
def doors(world: World) -> Iterator[Doors]:
    made = Doors(world)
    yield made
    made.close()


@pytest.fixture(scope="package")
def strict(
    world: World, running: Running, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[edge.EdgeSettings]:
    """A second Envoy before the same services, with the limits of a real one."""
    folder = tmp_path_factory.mktemp("strict")
    defaults = edge.EdgeSettings()
    ports = {name: running.environment[f"MEDIQ_{name.upper()}_PORT"] for name in defaults.upstreams}
    settings = replace(
        defaults,
        listen_port=free_port(),
        admin_port=free_port(),
        upstreams={name: (("127.0.0.1", int(port)),) for name, port in ports.items()},
        tls_folder=str(world.home / "tls"),
        descriptor_set=str(DESCRIPTOR_SET),
        jwks_file=str(world.home / "keys" / "jwks.json"),
        access_log=str(running.log.with_name("strict.log")),
        request_timeout_seconds=BODY_SECONDS,
    )
    with running_edge(settings, folder):
        yield settings

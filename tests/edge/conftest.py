"""One real Envoy for all tests of the edge, in front of doubles of the servers."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.rpc import error_details_pb2
from mediq.policy.v1.policy_pb2 import RateClass

from edge import Bucket, EdgeSettings, Rates, envoy_command, write_files
from edge.settings import DEFAULT_RATES, ROUTED_SERVERS, Endpoint
from mesh.contract.methods import DESCRIPTOR_SET
from mesh.identity.signing_keys import ensure_signing_key
from mesh.identity.tls import ensure_identities
from mesh.identity.tokens import TokenSigner
from tests.edge.upstreams import Upstreams
from tests.support.deadlines import set_deadline
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_SECONDS, eventually_now

DEAD = "gateway"
"""The server that is down all the time."""
SHARED = "institution_svc"
"""The server with several addresses, of which one is good."""
UPLOADS = 12
"""Uploads that one address may make at once in these tests."""
MAX_CALLS = 40
"""Calls that one server may have at once in these tests."""
ORIGIN = "https://kiosk.example.org"


def _descriptor_set(folder: Path) -> Path:
    """Compiles the contracts, with the error details that replies carry."""
    files = FileDescriptorSet.FromString(DESCRIPTOR_SET.read_bytes())
    details = error_details_pb2.DESCRIPTOR
    if details.name not in {file.name for file in files.file}:
        details.CopyToProto(files.file.add())
    target = folder / "mediq.binpb"
    target.write_bytes(files.SerializeToString())
    return target


@dataclass(frozen=True)
class Edge:
    """Holds a running Envoy and what stands around it."""

    url: str
    address: str
    admin: str
    log: Path
    upstreams: Upstreams
    signer: TokenSigner
    settings: EdgeSettings

    def token(self, **claims: object) -> str:
        """Signs a valid access token."""
        subject = str(claims.pop("subject", "7b9f5f0e-6a3f-4d52-9d3c-1f6f0f3f8a11"))
        defaults = {"lifetime_seconds": 300, "session_id": "s-1"}
        token, _ = self.signer.sign(subject, **{**defaults, **claims})  # type: ignore[arg-type]
        return token

    def bearer(self, **claims: object) -> dict[str, str]:
        """Returns the header with a valid access token."""
        return {"authorization": f"Bearer {self.token(**claims)}"}


def _wait_until_ready(admin: str, process: subprocess.Popen[bytes], output: Path) -> None:
    def ready() -> bool:
        assert process.poll() is None, output.read_text()
        with suppress(httpx.TransportError):
            reply = httpx.get(f"{admin}/ready", timeout=PATIENCE_SECONDS)
            return reply.status_code == httpx.codes.OK
        return False

    eventually_now(ready)


@contextmanager
def running(
    settings: EdgeSettings, folder: Path, deadline_seconds: float = PATIENCE_SECONDS
) -> Iterator[str]:
    """Runs Envoy with these settings, and gives the address of its admin interface.

    Args:
        settings: What the document says.
        folder: Where its files are written.
        deadline_seconds: What each method has that has a deadline.
    """
    with pytest.MonkeyPatch.context() as patch:
        set_deadline(patch, deadline_seconds)
        write_files(settings, folder / "envoy.yaml")
    with started(folder / "envoy.yaml", settings.admin_port) as admin:
        yield admin


@asynccontextmanager
async def running_beside(settings: EdgeSettings, folder: Path) -> AsyncIterator[str]:
    """Does the same in front of a server of this event loop, which must answer meanwhile."""
    with ExitStack() as stack:
        yield await asyncio.to_thread(stack.enter_context, running(settings, folder))


@contextmanager
def started(file: Path, admin_port: int) -> Iterator[str]:
    """Runs Envoy with this document, and gives the address of its admin interface."""
    output = file.with_name("envoy.log")
    with output.open("wb") as log:
        process = subprocess.Popen(
            envoy_command(file, workers=1), stdout=log, stderr=subprocess.STDOUT
        )
    admin = f"http://127.0.0.1:{admin_port}"
    try:
        _wait_until_ready(admin, process, output)
        yield admin
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def settings_for(folder: Path, addresses: Mapping[str, tuple[Endpoint, ...]]) -> EdgeSettings:
    """Returns settings of an Envoy of these tests, with its files in `folder`."""
    return EdgeSettings(
        listen_port=free_port(),
        admin_port=free_port(),
        status_port=free_port(),
        upstreams={
            name: addresses.get(name, (("127.0.0.1", free_port()),)) for name in ROUTED_SERVERS
        },
        tls_folder=str(folder / "tls"),
        descriptor_set=str(_descriptor_set(folder)),
        jwks_file=str(folder / "keys" / "jwks.json"),
        access_log=str(folder / "access.log"),
        health_interval_seconds=0.5,
        keys_refresh_seconds=1,
        max_calls=MAX_CALLS,
        request_timeout_seconds=int(PATIENCE_SECONDS),
        server_answer_seconds=PATIENCE_SECONDS,
        cors_origins=(ORIGIN,),
        # Their gateway is dead; test_global_limits.py has a living one.
        global_limits=False,
        rates={
            **DEFAULT_RATES,
            RateClass.RATE_CLASS_LOGIN: Rates(Bucket(1000, 1000), Bucket(1000, 1000)),
            RateClass.RATE_CLASS_UPLOAD: Rates(Bucket(100, 100), Bucket(UPLOADS, 12, 60)),
        },
    )


# Not for the session: its servers live in a second event loop, and gRPC gives what happens to any
# loop of the process. It must not run beside the loops of all the tests that follow.
@pytest.fixture(scope="package")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """Runs Envoy with its servers."""
    folder = tmp_path_factory.mktemp("edge")
    ensure_identities(folder / "tls")
    ensure_signing_key(folder / "keys")
    upstreams = Upstreams(folder / "tls")
    upstreams.start(name for name in ROUTED_SERVERS if name != DEAD)
    addresses: dict[str, tuple[Endpoint, ...]] = {
        name: (("127.0.0.1", port),) for name, port in upstreams.ports.items()
    }
    # One server is whole; another only pretends to be one, and a third is gone.
    impostor = upstreams.serve(SHARED, identity="ocr_engine")
    addresses[SHARED] += (("127.0.0.1", impostor), ("127.0.0.1", free_port()))
    settings = settings_for(folder, addresses)
    address = f"127.0.0.1:{settings.listen_port}"
    signer = TokenSigner(folder / "keys")
    with running(settings, folder) as admin:
        log = folder / "access.log"
        yield Edge(f"http://{address}", address, admin, log, upstreams, signer, settings)
    upstreams.stop()


@pytest.fixture(autouse=True)
def _fresh(edge: Edge) -> None:
    edge.upstreams.reset()


@pytest.fixture
async def api(edge: Edge) -> AsyncIterator[httpx.AsyncClient]:
    """Opens a REST client."""
    async with httpx.AsyncClient(base_url=edge.url, timeout=PATIENCE_SECONDS) as client:
        yield client


@pytest.fixture
async def other_api(edge: Edge) -> AsyncIterator[httpx.AsyncClient]:
    """Opens a REST client with another address."""
    transport = httpx.AsyncHTTPTransport(local_address="127.0.0.9")
    async with httpx.AsyncClient(
        base_url=edge.url, timeout=PATIENCE_SECONDS, transport=transport
    ) as client:
        yield client


def another(edge: Edge, **changes: Any) -> EdgeSettings:
    """Returns the settings of one more Envoy in front of the same servers."""
    return replace(
        edge.settings,
        listen_port=free_port(),
        admin_port=free_port(),
        status_port=None,
        **changes,
    )


def reason(response: httpx.Response) -> tuple[int, int, str]:
    """Returns HTTP status, code and reason of an error in the one shape of all errors."""
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"code", "message", "details"}
    assert body["message"]
    info = body["details"][0]
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert (info["domain"], info["metadata"]) == ("mediq", {})
    return response.status_code, body["code"], info["reason"]


@pytest.fixture
async def channel(edge: Edge) -> AsyncIterator[grpc.aio.Channel]:
    """Opens a native gRPC client."""
    async with grpc.aio.insecure_channel(edge.address) as opened:
        yield opened

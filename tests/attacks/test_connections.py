"""Who may connect to a service at all, and certificates that are renewed while all run."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import grpc
import pytest
from cryptography import x509

from mesh.contract.methods import SERVERS, Method, methods_of
from mesh.identity import tls
from tests.attacks.doors import Doors, RawCall
from tests.attacks.guarded import GUARDED, forger_for
from tests.attacks.made import request_for
from tests.attacks.world import World, bearer
from tests.support.waiting import PATIENCE_SECONDS, eventually_now
from tools.generation.access import Verdict

pytestmark = pytest.mark.model


def port_of(world: World, server: str) -> int:
    return int(world.running.environment[f"MEDIQ_{server.upper()}_PORT"])


def refused(channel: grpc.Channel, method: Method) -> None:
    call: RawCall = channel.unary_unary(method.path)
    with channel, pytest.raises(grpc.RpcError) as caught:
        call(b"", timeout=PATIENCE_SECONDS)
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("server", SERVERS)
def test_strangers_do_not_get_as_far_as_a_call(world: World, server: str, tmp_path: Path) -> None:
    address, method = f"127.0.0.1:{port_of(world, server)}", methods_of(server)[0]
    refused(grpc.insecure_channel(address), method)
    tls.ensure_identities(tmp_path, ["edge"])
    authority = (world.home / "tls" / "ca.crt").read_bytes()
    key, chain = ((tmp_path / f"edge.{end}").read_bytes() for end in ("key", "crt"))
    foreign = grpc.ssl_channel_credentials(authority, key, chain)
    name = [("grpc.ssl_target_name_override", server.replace("_", "-"))]
    refused(grpc.secure_channel(address, foreign, name), method)


def shown(world: World, server: str) -> int:
    """The serial number of the certificate that a service shows."""
    pem = ssl.get_server_certificate(
        ("127.0.0.1", port_of(world, server)), timeout=PATIENCE_SECONDS
    )
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


def on_disk(world: World) -> Mapping[str, int]:
    folder = world.home / "tls"
    return {
        server: x509.load_pem_x509_certificate(
            (folder / f"{server}.crt").read_bytes()
        ).serial_number
        for server in SERVERS
    }


def test_certificates_are_renewed_while_all_run(world: World, doors: Doors, photo: bytes) -> None:
    old = on_disk(world)
    assert {server: shown(world, server) for server in SERVERS} == old
    running = {name: process.pid for name, process in world.running.children().items()}
    assert world.running.mediq("certificates", "renew").returncode == 0
    new = on_disk(world)
    assert not set(new.values()) & set(old.values())
    eventually_now(
        lambda: {server: shown(world, server) for server in SERVERS} == new,
        every_seconds=0.1,
    )
    # Envoy to every service, then services to each other.
    for method in GUARDED.values():
        headers = bearer(forger_for(world, method).sign())
        for verdict, answer in doors.rest(method, request_for(method, world.first.side), headers):
            assert verdict is Verdict.PASSES, answer
    form = {"content-type": "image/jpeg", "x-request-id": str(uuid4())}
    reply = world.client.post("/ocr/upload", content=photo, headers=form)
    assert reply.is_success, reply.text
    world.secrets.add(reply.json()["session"]["accessToken"])
    assert {name: one.pid for name, one in world.running.children().items()} == running

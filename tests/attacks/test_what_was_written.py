"""What the mesh has written during all the attacks. The last file of the folder, by its name."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from pathlib import Path

import pytest
from mediq.queue.v1.live_service_pb2 import WatchEventsResponse

from mesh.contract.methods import SERVERS
from tests.attacks.conftest import SPAN_MILLISECONDS
from tests.attacks.world import World
from tests.support.scan import given_away

pytestmark = pytest.mark.model
DIGITS = re.compile(rb"(?<![\w.-])\d{16}(?![\w.-])")


def outputs(world: World) -> list[Path]:
    """The logs of all processes and the traces."""
    # Spans that are written later are not looked at: a fault may be missed, none is made.
    time.sleep(5 * SPAN_MILLISECONDS / 1000)
    logs = world.running.log.parent.glob("*.log")
    return [*logs, *(world.home / "traces").iterdir()]


def test_the_scan_finds_what_it_looks_for(world: World) -> None:
    nik = world.first.nik
    assert given_away(f'{{"nik": "{nik}"}}')
    assert given_away(f"user {nik} failed", ())
    assert given_away(world.network.headers["authorization"], ())
    assert given_away(f"login {world.first.operator.password}", world.secrets)
    assert given_away(f"name={world.first.patient_name}", world.secrets)
    assert not given_away("2026-01-01T00:00:00.0000000Z 4bf92f3577b34da6a3ce929d0e0e4736", ())


def test_logs_and_traces_give_nobody_away(world: World) -> None:
    files = outputs(world)
    assert {path.stem for path in files} >= {*SERVERS, "mediq"}
    for path in files:
        text = path.read_text()
        assert text, path
        for line in text.splitlines():
            assert not given_away(line, world.secrets), f"{path.name}: {line[:300]}"


def test_the_log_holds_every_service_and_the_edge(world: World) -> None:
    """A scan of nothing would find nothing."""
    lines = world.running.log.read_text().splitlines()
    begins = {line.partition("|")[0].strip() for line in lines if "|" in line}
    assert begins >= {*SERVERS, "envoy"}
    assert sum('"verb":"POST"' in line for line in lines) > 20
    spans = (world.home / "traces" / "user_svc.jsonl").read_text().splitlines()
    named = {json.loads(line)["name"] for line in spans}
    assert "mediq.user.v1.AuthService/LoginUser" in named


def databases(world: World) -> list[Path]:
    files = [path for path in (world.home / "data").iterdir() if path.is_file()]
    assert {path.stem for path in files} >= {"user_svc", "queue_svc", "ocr_svc"}
    return files


def test_databases_hold_no_plain_identity(world: World) -> None:
    for path in databases(world):
        content = path.read_bytes()
        assert not [secret[:6] for secret in world.secrets if secret.encode() in content], path.name
        assert not DIGITS.search(content), path.name


def test_databases_hold_no_number_that_can_be_guessed_back(world: World) -> None:
    """All NIKs are hashed without a key in hours: what is looked up by is keyed."""
    contents = [path.read_bytes() for path in databases(world)]
    niks = [secret for secret in world.secrets if re.fullmatch(r"\d{16}", secret)]
    assert len(niks) >= 3
    for nik in niks:
        for name in ("sha256", "sha1", "md5"):
            digest = hashlib.new(name, nik.encode()).digest()
            for form in (digest, digest.hex().encode(), base64.b64encode(digest)):
                assert not any(form in content for content in contents), name


def test_refresh_tokens_are_stored_as_their_hash(world: World) -> None:
    """They are random, so a hash without a key is enough."""
    digest = hashlib.sha256(world.first.admin.refresh.encode())
    content = b"".join(path.read_bytes() for path in databases(world) if path.stem == "user_svc")
    assert digest.digest() in content or digest.hexdigest().encode() in content


def test_events_tell_of_no_person(world: World, heard: list[WatchEventsResponse]) -> None:
    """What goes over the broker to whoever subscribes."""
    events = [one for one in heard if one.WhichOneof("update") == "event"]
    told = {one.event.ticket_id for one in events}
    assert {world.first.side.ticket_id, world.second.side.ticket_id} <= told
    persons = {world.first.side.patient_id, world.second.side.patient_id, world.first.operator.id}
    for event in events:
        for text in (str(event), event.SerializeToString().decode("latin-1")):
            assert not given_away(text, world.secrets | persons)

"""Certificates that are renewed under a running Envoy, which nobody else uses."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
import yaml
from cryptography import x509
from google.protobuf.message import Message
from mediq.institution.v1.institution_service_pb2 import ListInstitutionsResponse

from edge import EdgeSettings
from edge.__main__ import main
from edge.files import render_files
from edge.settings import kubernetes_settings
from mesh.identity.certificates import read_identity
from mesh.identity.signing_keys import ensure_signing_key
from mesh.identity.tls import ensure_identities, renew_identities
from tests.edge.conftest import SHARED, running, settings_for
from tests.edge.upstreams import Context, Upstreams
from tests.support.waiting import PATIENCE_SECONDS, eventually_now

ROOT = Path(__file__).resolve().parents[2]
LIST = "/mediq.institution.v1.InstitutionService/ListInstitutions"
SECRETS = ("edge_certificate.yaml", "trusted_authorities.yaml")


@dataclass
class Door:
    """Holds an Envoy in front of one server, which tells what certificate it was shown."""

    api: httpx.Client
    admin: str
    upstreams: Upstreams
    port: int
    tls: Path

    def new_connection(self) -> int:
        """Ends the server, starts it again, and makes a call.

        Returns:
            The serial of Envoy's certificate.
        """
        self.upstreams.end(self.port)
        self.upstreams.serve(SHARED, SHARED, port=self.port)
        return self.call()

    def call(self) -> int:
        """Makes a call as soon as the server is known to be healthy; returns the same."""
        serials = []

        async def answer(_: Message, context: Context) -> Message:
            (pem,) = context.auth_context()["x509_pem_cert"]
            serials.append(x509.load_pem_x509_certificate(pem).serial_number)
            return ListInstitutionsResponse()

        self.upstreams.answers[LIST] = answer
        wait_for(lambda: self.api.get("/institutions").status_code == 200)
        return serials[-1]

    def taken(self) -> None:
        """Waits until Envoy has what the files say."""
        identity = read_identity(self.tls, "edge")
        wanted = {f"{one.serial_number:x}" for one in (identity.leaf, *identity.authorities)}

        def shown() -> bool:
            return set(self.serials()) == wanted

        wait_for(shown)

    def serials(self) -> Iterator[str]:
        """Returns the serials of all certificates that Envoy uses."""
        found = httpx.get(f"{self.admin}/certs", timeout=PATIENCE_SECONDS)
        for group in found.json()["certificates"]:
            for one in (*group.get("ca_cert", ()), *group.get("cert_chain", ())):
                yield one["serial_number"].lstrip("0")


def wait_for(condition: Callable[[], bool]) -> None:
    eventually_now(condition, every_seconds=0.1)


def as_kubernetes_does(folder: Path, version: str, contents: dict[str, bytes]) -> None:
    """Writes a volume of secrets, or its next version, as the kubelet does."""
    (folder / version).mkdir(parents=True)
    for name, content in contents.items():
        (folder / version / name).write_bytes(content)
    (folder / "..data_tmp").symlink_to(version)
    (folder / "..data_tmp").rename(folder / "..data")
    for name in contents:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")


@pytest.fixture
def open_door(tmp_path: Path) -> Iterator[Callable[[Path], Door]]:
    ensure_identities(tmp_path / "tls")
    ensure_signing_key(tmp_path / "keys")
    upstreams = Upstreams(tmp_path / "tls")
    upstreams.start([SHARED])
    port = upstreams.ports[SHARED]
    opened = ExitStack()

    def start(tls: Path) -> Door:
        settings = settings_for(tmp_path, {SHARED: (("127.0.0.1", port),)})
        settings = replace(settings, tls_folder=str(tls))
        admin = opened.enter_context(running(settings, tmp_path))
        url = f"http://127.0.0.1:{settings.listen_port}"
        api = httpx.Client(base_url=url, timeout=PATIENCE_SECONDS)
        opened.enter_context(api)
        return Door(api, admin, upstreams, port, tls)

    with opened:
        yield start
    upstreams.stop()


@pytest.fixture
def door(open_door: Callable[[Path], Door], tmp_path: Path) -> Door:
    return open_door(tmp_path / "tls")


def serial(door: Door) -> int:
    return read_identity(door.tls, "edge").leaf.serial_number


def test_renewed_certificate_is_shown_to_the_servers(door: Door) -> None:
    before = door.call()
    assert before == serial(door)
    renew_identities(door.tls, ["edge"])
    door.taken()
    # The connection from before goes on.
    assert door.call() == before
    assert door.new_connection() == serial(door) != before


def test_authority_is_changed_while_envoy_runs(door: Door, tmp_path: Path) -> None:
    ensure_identities(tmp_path / "next", [])
    first, second = (door.tls / "ca.crt").read_bytes(), (tmp_path / "next/ca.crt").read_bytes()
    door.call()
    put(door.tls / "ca.crt", first + second)
    door.taken()
    shutil.copy(tmp_path / "next" / "ca.key", door.tls / "ca.key")
    renew_identities(door.tls, [SHARED])
    # The server's certificate is of the second authority, Envoy's of the first.
    assert door.new_connection() == serial(door)
    renew_identities(door.tls, ["edge"])
    door.taken()
    put(door.tls / "ca.crt", second)
    door.taken()
    assert door.new_connection() == serial(door)


def put(file: Path, content: bytes) -> None:
    scratch = file.with_name(".scratch")
    scratch.write_bytes(content)
    scratch.replace(file)


def test_damaged_certificate_is_not_taken(door: Door) -> None:
    before = door.call()
    put(door.tls / "edge.crt", b"half")
    wait_for(lambda: failures(door) > 0)
    assert door.new_connection() == before
    renew_identities(door.tls, ["edge"])
    door.taken()
    assert door.new_connection() == serial(door) != before


def failures(door: Door) -> int:
    query = {"filter": "sds.edge_certificate.(update_rejected|key_rotation_failed)"}
    text = httpx.get(f"{door.admin}/stats", params=query, timeout=PATIENCE_SECONDS).text
    return sum(int(line.rpartition(" ")[2]) for line in text.splitlines())


def test_volume_of_kubernetes_is_followed(
    open_door: Callable[[Path], Door], tmp_path: Path
) -> None:
    made, volume = tmp_path / "tls", tmp_path / "volume"
    names = ("ca.crt", "edge.crt", "edge.key")

    def write(version: str) -> None:
        as_kubernetes_does(volume, version, {name: (made / name).read_bytes() for name in names})

    write("..2026_11_01")
    door = open_door(volume)
    before = door.call()
    renew_identities(made, ["edge"])
    write("..2026_11_02")
    door.taken()
    assert door.new_connection() == serial(door) != before


@pytest.mark.parametrize("name", SECRETS)
def test_committed_secrets_are_up_to_date(name: str) -> None:
    assert (ROOT / "envoy" / name).read_text() == render_files(EdgeSettings())[name], "run make gen"


@pytest.mark.parametrize("settings", [EdgeSettings(), kubernetes_settings()])
def test_secrets_hold_no_keys(settings: EdgeSettings) -> None:
    texts = render_files(settings)
    for name in SECRETS:
        assert "PRIVATE" not in texts[name]
        assert len(yaml.safe_load(texts[name])["resources"]) == 1


def test_files_are_printed_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kubernetes", "edge_certificate.yaml"]) == 0
    assert "/etc/mediq/tls/edge.key" in capsys.readouterr().out
    assert main([]) == 0
    assert capsys.readouterr().out == render_files(EdgeSettings())["envoy.yaml"]


@pytest.mark.parametrize("words", [["helm"], ["default", "none.yaml"], ["default", SECRETS[0], ""]])
def test_unknown_files_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "edge_certificate.yaml" in capsys.readouterr().err

"""The files of identities, and the commands that renew them."""

import shutil
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from typer.testing import CliRunner, Result

from mesh.identity.certificates import IdentityError, IdentityFiles, read_identity
from mesh.identity.tls import PEERS, ensure_identities, renew_identities, server_credentials
from ops.cli.certificates import app
from tests.support.commands import CommandTrail

NAME = "institution_svc"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a mesh's certificates, the one that commands work on."""
    ensure_identities(tmp_path / "tls")
    monkeypatch.setenv("MEDIQ_TLS_FOLDER", str(tmp_path / "tls"))
    return tmp_path / "tls"


def serial(folder: Path, name: str = NAME) -> int:
    return read_identity(folder, name).leaf.serial_number


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_reader_finds_a_pair_at_every_moment(folder: Path) -> None:
    done = threading.Event()

    def renew() -> None:
        for _ in range(30):
            renew_identities(folder, ["edge"])
        done.set()

    seen = set()
    thread = threading.Thread(target=renew)
    thread.start()
    while not done.is_set():
        seen.add(read_identity(folder, "edge").leaf.serial_number)
    thread.join()
    assert len(seen) > 5
    # The version in use and the one before it.
    assert len(list(folder.glob("..edge.*"))) == 2


def test_files_changed_in_every_reading_are_read_until_they_stay(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = 3
    certificate = folder / "edge.crt"
    read_bytes = Path.read_bytes

    def renewed_in_between(file: Path) -> bytes:
        nonlocal changes
        if file == certificate and changes:
            changes -= 1
            renew_identities(folder, ["edge"])
        return read_bytes(file)

    monkeypatch.setattr(Path, "read_bytes", renewed_in_between)
    read_identity(folder, "edge")
    assert changes == 0


def test_plain_files_of_an_older_installation_are_renewed(tmp_path: Path) -> None:
    ensure_identities(tmp_path / "made", ["edge"])
    plain = tmp_path / "plain"
    plain.mkdir()
    for file in ("ca.crt", "ca.key", "edge.crt", "edge.key"):
        shutil.copy(tmp_path / "made" / file, plain / file)
    before = read_identity(plain, "edge")
    renew_identities(plain, ["edge"])
    after = read_identity(plain, "edge")
    assert after.leaf.serial_number != before.leaf.serial_number
    assert (plain / "edge.crt").readlink() == Path("..edge/edge.crt")
    assert (plain / "..edge.first" / "edge.crt").read_bytes() == before.certificate
    assert (plain / "edge.key").stat().st_mode & 0o777 == 0o600


def test_what_exists_stays(folder: Path) -> None:
    before = serial(folder)
    ensure_identities(folder)
    assert serial(folder) == before


def test_authority_without_its_certificate_is_damaged(folder: Path, tmp_path: Path) -> None:
    ensure_identities(tmp_path / "next", [])
    shutil.copy(tmp_path / "next" / "ca.key", folder / "ca.key")
    with pytest.raises(ValueError, match=r"no certificate of ca\.key"):
        renew_identities(folder, [NAME])


def test_server_does_not_start_with_a_damaged_certificate(folder: Path) -> None:
    (folder / f"{NAME}.crt").write_bytes(b"half")
    with pytest.raises(IdentityError, match=NAME):
        server_credentials(folder, NAME)


@pytest.mark.parametrize("error", [UnsupportedAlgorithm("a curve of yesterday"), ValueError()])
def test_key_that_cannot_be_used_leaves_the_identity_before(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr("mesh.identity.certificates.POLL_SECONDS", 0.0)
    files = IdentityFiles(folder, NAME)
    before = files.current()

    def load(*_: object) -> None:
        raise error

    renew_identities(folder, [NAME])
    monkeypatch.setattr("mesh.identity.certificates.serialization.load_pem_private_key", load)
    assert files.current() is before


def test_list_shows_serial_and_end(folder: Path) -> None:
    lines = run("list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [*PEERS, "authority"]
    found = next(line for line in lines if line.startswith(NAME))
    end = read_identity(folder, NAME).leaf.not_valid_after_utc
    assert found.split()[1:] == [
        f"{serial(folder):040x}",
        *f"{end:%Y-%m-%d %H:%MZ} 397 days".split(),
    ]


def test_list_shows_both_authorities_of_a_change(folder: Path, tmp_path: Path) -> None:
    ensure_identities(tmp_path / "next", [])
    bundle = (folder / "ca.crt").read_bytes() + (tmp_path / "next" / "ca.crt").read_bytes()
    (folder / "ca.crt").write_bytes(bundle)
    shown = [line.split()[1] for line in run("list").stdout.splitlines() if "authority" in line]
    both = x509.load_pem_x509_certificates(bundle)
    assert shown == [f"{one.serial_number:040x}" for one in both]


def test_list_says_what_is_missing_or_damaged(folder: Path) -> None:
    (folder / "edge.crt").unlink()
    (folder / "ops.crt").write_bytes(b"half")
    lines = {line.split()[0]: line for line in run("list").stdout.splitlines()}
    assert lines["edge"].split()[1:] == ["missing"]
    assert "damaged" in lines["ops"]
    assert len(lines["gateway"].split()) == 6
    assert "authority" in lines


def test_one_identity_is_renewed(folder: Path, command_trail: CommandTrail) -> None:
    before = {name: serial(folder, name) for name in PEERS}
    result = run("renew", "--name", NAME)
    assert result.exit_code == 0
    assert f"{serial(folder):040x}" in result.stdout
    changed = {name for name in PEERS if serial(folder, name) != before[name]}
    assert changed == {NAME}
    assert command_trail.commands() == [f"certificates renew {NAME}"]


def test_all_identities_are_renewed(folder: Path, command_trail: CommandTrail) -> None:
    before = {name: read_identity(folder, name) for name in PEERS}
    done = run("renew")
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) == len(PEERS)
    assert command_trail.commands() == ["certificates renew"]
    for name, old in before.items():
        new = read_identity(folder, name)
        assert new.key != old.key
        assert new.leaf.serial_number != old.leaf.serial_number
        assert new.trust == old.trust


def test_unknown_identity_is_named(folder: Path) -> None:
    result = run("renew", "--name", "queue-svc")
    assert result.exit_code != 0
    assert str(result.exception).startswith("mediq: queue-svc is no identity; choose one of edge,")


@pytest.mark.parametrize("command", ["renew", "list"])
def test_no_certificates_say_what_to_do(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDIQ_TLS_FOLDER", str(tmp_path / "none"))
    result = run(command)
    assert result.exit_code != 0
    assert "start the mesh first (mediq up)" in str(result.exception)


def test_certificates_from_elsewhere_are_renewed_elsewhere(folder: Path) -> None:
    (folder / "ca.key").unlink()
    assert "cert-manager" in str(run("renew").exception)


def test_damaged_authority_is_said(folder: Path) -> None:
    (folder / "ca.key").write_bytes(b"half")
    assert "the authority is damaged" in str(run("renew").exception)


def test_folder_that_cannot_be_written_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("ops.cli.certificates.renew_identities", refuse)
    assert str(run("renew").exception).endswith("cannot be written (Permission denied)")


def test_certificate_of_another_identity_is_not_taken(folder: Path) -> None:
    for suffix in ("crt", "key"):
        shutil.copy(folder / f"edge.{suffix}", folder / f"{NAME}.{suffix}")
    with pytest.raises(IdentityError, match=f"does not name spiffe://mediq/{NAME}"):
        read_identity(folder, NAME)


def test_certificate_without_names_is_not_taken(folder: Path) -> None:
    for suffix in ("crt", "key"):
        shutil.copy(folder / f"ca.{suffix}", folder / f"{NAME}.{suffix}")
    with pytest.raises(IdentityError, match="damaged"):
        read_identity(folder, NAME)


def test_damaged_trust_is_said_in_the_list(folder: Path) -> None:
    (folder / "ca.crt").write_bytes(b"half")
    assert "is damaged" in str(run("list").exception)


def test_keys_are_not_shown(folder: Path) -> None:
    assert "PRIVATE" not in repr(read_identity(folder, NAME))

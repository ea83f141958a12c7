"""mediq status."""

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mesh.contract.methods import SERVERS
from mesh.identity.tls import ensure_identities
from ops.cli import application


def status(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.setenv("MEDIQ_HOME", str(data_dir))
    return CliRunner().invoke(application("status"), ["status"])


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Makes a data folder with certificates."""
    ensure_identities(tmp_path / "tls")
    return tmp_path


def test_services_that_do_not_run(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as bound:
        for name in SERVERS:
            # Bound, so that nobody else takes it, and nobody listens.
            taken = bound.enter_context(socket.socket())
            taken.bind(("127.0.0.1", 0))
            monkeypatch.setenv(f"MEDIQ_{name.upper()}_PORT", str(taken.getsockname()[1]))
        done = status(data_dir, monkeypatch)
    assert done.exit_code == 1
    assert [line.split()[0] for line in done.output.splitlines()] == list(SERVERS)
    assert done.output.count("NOT READY") == len(SERVERS)


def test_a_folder_without_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = status(tmp_path, monkeypatch)
    assert done.exit_code == 1
    assert str(done.exception).endswith("has no certificates: start the mesh first (mediq up)")


def test_damaged_certificates(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (data_dir / "tls" / "ops.crt").write_text("no certificate")
    done = status(data_dir, monkeypatch)
    assert isinstance(done.exception, SystemExit)
    assert "the files of ops are damaged" in str(done.exception)

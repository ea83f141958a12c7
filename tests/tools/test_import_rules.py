"""The import rules refuse what they are there for: each case plants one import in a copy."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
LINT = Path(sys.executable).parent / "lint-imports"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imports")
    shutil.copy(ROOT / "pyproject.toml", folder)
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    for package in rules["root_packages"]:
        for source in (ROOT / package).rglob("*.py"):
            target = folder / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    return folder


def broken(folder: Path) -> list[str]:
    """Returns the names of the rules that the copy breaks."""
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT / 'gen'}", "NO_COLOR": "1"}
    done = subprocess.run(
        [LINT, "--no-cache"],
        check=False,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    found = [line.partition(" BROKEN")[0] for line in done.stdout.splitlines() if "BROKEN" in line]
    assert done.returncode == bool(found), done.stdout + done.stderr
    return found


@pytest.mark.parametrize(
    ("file", "planted", "rule"),
    [
        (
            "queue_svc/domain/days.py",
            "from queue_svc.persistence.ticket_repository import TicketRepository",
            "The rooms of the queue service stand on each other",
        ),
        (
            "queue_svc/servicers/reports.py",
            "from sqlalchemy import select",
            "Servicers translate: they know neither SQL nor tables",
        ),
        (
            "ocr_svc/servicers/registration.py",
            "from ocr_svc.persistence.draft_repository import DraftRepository",
            "Servicers translate: they know neither SQL nor tables",
        ),
        (
            "user_svc/servicers/audit.py",
            "from user_svc.audit.queries import entries",
            "Servicers translate: they know neither SQL nor tables",
        ),
        (
            "queue_svc/servicers/tickets.py",
            "from ops.supervisor import Supervisor",
            "Neither kit nor services know Envoy's generator or operations",
        ),
        (
            "mesh/contract/call.py",
            "from mesh.rpc.server import Server",
            "The kit's rooms stand on each other",
        ),
        (
            "ocr_engine/serving/servicer.py",
            "from training.synth import sample",
            "Nothing that runs needs what draws cards or trains",
        ),
        ("mesh/errors.py", "import queue_svc.settings", "The kit imports no service"),
        (
            "user_svc/domain/accounts.py",
            "from ocr_svc.domain.draft import Draft",
            "A service imports no other one",
        ),
        (
            "edge/filters/cors.py",
            "from edge.routes.route_table import routed_methods",
            "The rooms of Envoy's generator stand on each other",
        ),
        (
            "gateway/domain/health.py",
            "from gateway.adapters.service_health import HealthClient",
            "The rooms of the gateway stand on each other",
        ),
        (
            "user_svc/persistence/logins/known_networks.py",
            "from user_svc.servicers.auth import AuthServicer",
            "The rooms of the account service stand on each other",
        ),
        (
            "ocr_svc/persistence/draft_repository.py",
            "from ocr_svc.application.unit_of_work import UnitsOfWork",
            "The rooms of the registration service stand on each other",
        ),
        (
            "ocr_engine/parsing/ktp.py",
            "from ocr_engine.vision.imaging import decode",
            "The rooms of the card reader stand on each other",
        ),
        (
            "institution_svc/messages/facilities.py",
            "from institution_svc.application.unit_of_work import UnitsOfWork",
            "The rooms of the facility service stand on each other",
        ),
        (
            "institution_svc/domain/facilities.py",
            "from sqlalchemy import select",
            "Domains know neither gRPC nor SQL",
        ),
    ],
)
def test_a_planted_import_is_refused(copy: Path, file: str, planted: str, rule: str) -> None:
    path = copy / file
    before = path.read_text()
    path.write_text(f"{before}\n{planted}\n")
    try:
        assert rule in broken(copy)
    finally:
        path.write_text(before)


def test_the_copy_without_a_planted_import_keeps_all_rules(copy: Path) -> None:
    assert broken(copy) == []


def test_a_room_that_no_rule_names_is_refused(copy: Path) -> None:
    contracts = tomllib.loads((copy / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    layers = {one["containers"][0]: one["name"] for one in contracts if one["type"] == "layers"}
    planted = [copy / package / "back_room.py" for package in layers]
    for path in planted:
        path.write_text("")
    try:
        assert broken(copy) == list(layers.values())
    finally:
        for path in planted:
            path.unlink()

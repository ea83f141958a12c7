"""The generated document: up to date, accepted by Envoy, complete."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from mediq.policy.v1.policy_pb2 import Access

from edge import (
    EdgeSettings,
    envoy_binary,
    render_bootstrap,
    render_files,
    to_yaml,
    write_files,
)
from edge.routes.route_table import routed_methods
from mesh.contract.methods import DESCRIPTOR_SET, methods
from mesh.identity.signing_keys import ensure_signing_key
from mesh.identity.tls import ensure_identities
from tests.edge.conftest import Edge

ROOT = Path(__file__).resolve().parents[2]


def test_committed_file_is_up_to_date() -> None:
    assert (ROOT / "envoy" / "envoy.yaml").read_text() == render_files(EdgeSettings())[
        "envoy.yaml"
    ], "run make gen"


def test_rendering_is_deterministic() -> None:
    assert to_yaml(render_bootstrap(EdgeSettings())) == to_yaml(render_bootstrap(EdgeSettings()))


def test_envoy_accepts_the_document_without_a_warning(edge: Edge, tmp_path: Path) -> None:
    ensure_identities(tmp_path / ".mediq" / "tls", ["edge"])
    ensure_signing_key(tmp_path / ".mediq" / "keys")
    settings = replace(EdgeSettings(), descriptor_set=edge.settings.descriptor_set)
    write_files(settings, tmp_path / "envoy.yaml")
    command = [envoy_binary(), "--mode", "validate", "-c", "envoy.yaml", "-l", "warning"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "configuration 'envoy.yaml' OK\n"), done.stderr
    # Nothing is fetched while a document is only looked at.
    warnings = [line for line in done.stderr.splitlines() if "jwks_" not in line]
    assert warnings == []


def test_every_method_for_people_has_a_route_and_no_other() -> None:
    routed = {method.path for method in routed_methods()}
    people = (Access.ACCESS_PUBLIC, Access.ACCESS_USER)
    assert routed == {path for path, m in methods().items() if m.policy.access in people}


def test_missing_upstream_is_named() -> None:
    with pytest.raises(KeyError, match="user_svc"):
        render_bootstrap(replace(EdgeSettings(), upstreams={}))


def test_names_are_resolved_and_addresses_are_not() -> None:
    upstreams = {**EdgeSettings().upstreams, "queue_svc": (("queue-svc", 8605),)}
    document = render_bootstrap(replace(EdgeSettings(), upstreams=upstreams))
    kinds = {c["name"]: c["type"] for c in document["static_resources"]["clusters"]}
    assert (kinds["queue_svc"], kinds["user_svc"]) == ("STRICT_DNS", "STATIC")


@pytest.mark.parametrize(
    ("listened", "own"), [("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("10.0.0.7", "10.0.0.7")]
)
def test_edge_finds_itself(listened: str, own: str) -> None:
    assert EdgeSettings(listen_host=listened).own_host == own


def test_compiled_contracts_hold_the_error_details() -> None:
    """Without them the transcoder cannot write an upstream's error as JSON."""
    assert b"google/rpc/error_details.proto" in DESCRIPTOR_SET.read_bytes()

"""Servers that die, come back, or answer nonsense. An Envoy of its own, which nobody else uses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from edge.clusters import upstreams as upstreams_of_edge
from mesh.identity.signing_keys import ensure_signing_key
from mesh.identity.tls import ensure_identities
from tests.edge.conftest import SHARED, reason, running, settings_for
from tests.edge.upstreams import Upstreams
from tests.support.waiting import PATIENCE_SECONDS, eventually_now

FAILURES = upstreams_of_edge._outlier_detection()["consecutive_gateway_failure"]
LIST = "/mediq.institution.v1.InstitutionService/ListInstitutions"


@dataclass(frozen=True)
class Pair:
    """Holds an edge in front of a good and a broken server of the same kind."""

    api: httpx.Client
    admin: str
    upstreams: Upstreams
    good: int

    def until_ejected(self) -> list[int]:
        """Asks until Envoy has put out the broken server; gives the answers' statuses."""
        statuses: list[int] = []
        while statuses.count(503) < FAILURES:
            statuses.append(self.api.get("/institutions").status_code)
            assert len(statuses) < 60, statuses
        eventually_now(self._is_ejected)
        return statuses

    def _is_ejected(self) -> bool:
        name = f"cluster.{SHARED}.outlier_detection.ejections_active"
        (stat,) = httpx.get(f"{self.admin}/stats?format=json&filter=^{name}$").json()["stats"]
        return bool(stat["value"] == 1)


@pytest.fixture
def pair(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pair]:
    """An ejected server stays so for as long as a test takes."""
    usual = upstreams_of_edge._outlier_detection()
    longer = usual | {"base_ejection_time": "3600s", "max_ejection_time": "3600s"}
    monkeypatch.setattr(upstreams_of_edge, "_outlier_detection", lambda: longer)
    folder = tmp_path_factory.mktemp("health")
    ensure_identities(folder / "tls")
    ensure_signing_key(folder / "keys")
    upstreams = Upstreams(folder / "tls")
    upstreams.start(())
    good = upstreams.serve(SHARED, SHARED)
    broken = upstreams.serve(SHARED, SHARED, broken=True)
    addresses = {SHARED: (("127.0.0.1", good), ("127.0.0.1", broken))}
    settings = settings_for(folder, addresses)
    with running(settings, folder) as admin:
        url = f"http://127.0.0.1:{settings.listen_port}"
        with httpx.Client(base_url=url, timeout=PATIENCE_SECONDS) as api:
            yield Pair(api, admin, upstreams, good)
    upstreams.stop()


def _wait_for(pair: Pair, status: int) -> httpx.Response:
    def answer() -> httpx.Response | None:
        response = pair.api.get("/institutions")
        return response if response.status_code == status else None

    found = eventually_now(answer, every_seconds=0.1)
    assert found is not None
    return found


def test_failing_server_is_left_alone(pair: Pair) -> None:
    statuses = pair.until_ejected()
    statuses += [pair.api.get("/institutions").status_code for _ in range(55)]
    failed = statuses.count(503)
    assert 1 <= failed <= 8
    assert statuses[-20:] == [200] * 20
    called = [call.identity for call in pair.upstreams.calls[LIST]]
    assert called.count("broken") == failed


def test_dead_server_is_noticed_and_found_again(pair: Pair) -> None:
    pair.until_ejected()
    assert pair.api.get("/institutions").status_code == 200
    pair.upstreams.end(pair.good)
    # The broken one is still ejected: nobody is left.
    assert reason(_wait_for(pair, 503))[2] == "SERVICE_UNAVAILABLE"
    pair.upstreams.serve(SHARED, SHARED, port=pair.good)
    _wait_for(pair, 200)

"""The data keys change while the whole mesh serves, by the commands that a person would type."""

import json

import httpx
import pytest

from tests.e2e.conftest import Facility, Running
from tests.support.waiting import eventually_now

pytestmark = pytest.mark.model


def test_stored_data_gets_the_new_key(
    running: Running, client: httpx.Client, facility: Facility
) -> None:
    def names() -> list[str]:
        reply = client.get("/users", headers=facility.admin)
        assert reply.status_code == httpx.codes.OK, reply.text
        return sorted(user["nama"] for user in reply.json()["users"])

    def old_ones() -> dict[str, int]:
        """How many ciphertexts need each older key."""
        listed = running.mediq("data-keys", "list")
        assert listed.returncode == 0, listed.stderr
        words = [line.split() for line in listed.stdout.splitlines()]
        return {line[0]: int(line[-2]) for line in words if line[1] == "leaving"}

    before = names()
    assert "Operator" in before
    added = running.mediq("data-keys", "rotate", "--after", "1")
    assert added.returncode == 0, added.stderr
    assert len(added.stdout.splitlines()) == 4

    def all_use_the_new_key() -> bool:
        found = old_ones()
        return len(found) == 4 and not any(found.values())

    eventually_now(all_use_the_new_key, 300, every_seconds=1)
    assert names() == before
    eventually_now(lambda: len(rotations(running)) >= 4, 300)
    assert {line["service"] for line in rotations(running)} == {
        *("institution_svc", "ocr_svc", "queue_svc", "user_svc")
    }
    early = running.mediq("data-keys", "prune")
    assert early.returncode == 1
    assert early.stderr.count("stays, a replica may encrypt with it until") == 4


def rotations(running: Running) -> list[dict[str, str]]:
    """Rotations of data keys in the audit trail."""
    listed = running.mediq("audit", "list", "--json", "--limit", "1000")
    assert listed.returncode == 0, listed.stderr
    events = [json.loads(line)["event"] for line in listed.stdout.splitlines()]
    return [event for event in events if event["method"].startswith("data-keys rotate ")]

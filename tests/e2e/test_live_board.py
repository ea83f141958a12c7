"""A hall's board through real Envoy: it outlives the process behind it."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import psutil
import pytest
from httpx_sse import ServerSentEvent, connect_sse

from tests.e2e.conftest import Facility, Running
from tests.support.waiting import PATIENCE_SECONDS, eventually_now

pytestmark = pytest.mark.model
Json = dict[str, Any]


class Hall:
    """A facility of its own, so that no other test counts its tickets."""

    def __init__(self, client: httpx.Client, admin: dict[str, str]) -> None:
        self._client = client
        self._admin = admin
        body = {"name": "RSUD Papan", "city": "Bandung", "timeZone": "Asia/Jakarta"}
        self.institution = self._post("/institutions", body)["id"]
        path = f"/institutions/{self.institution}/services"
        self.service = self._post(path, {"name": "Poli Anak", "prefix": "C"})["id"]

    def take(self) -> str:
        """The number of a new ticket; tried again while the service is not there."""
        body = {
            "requestId": str(uuid.uuid4()),
            "institutionId": self.institution,
            "serviceId": self.service,
            "patientId": str(uuid.uuid4()),
        }

        def taken() -> str:
            reply = self._client.post("/queue", json=body, headers=self._admin)
            if reply.status_code == httpx.codes.OK:
                return str(reply.json()["number"])
            assert reply.status_code == httpx.codes.SERVICE_UNAVAILABLE, reply.text
            return ""

        return eventually_now(taken, every_seconds=0.2)

    @contextmanager
    def board(self, url: str, last_event_id: str = "") -> Iterator[Iterator[ServerSentEvent]]:
        """The stream of the board, without a token."""
        headers = {"last-event-id": last_event_id} if last_event_id else {}
        path = f"/queue/boards/{self.institution}/live"
        with (
            httpx.Client(base_url=url, timeout=PATIENCE_SECONDS) as own,
            connect_sse(own, "GET", path, headers=headers) as source,
        ):
            assert source.response.status_code == httpx.codes.OK
            yield source.iter_sse()

    def _post(self, path: str, body: Json) -> Json:
        reply = self._client.post(path, json=body, headers=self._admin)
        assert reply.status_code == httpx.codes.OK, reply.text
        made: Json = reply.json()
        return made


def event(stream: Iterator[ServerSentEvent]) -> tuple[str, int, str]:
    """Number, revision and id of the next event; signs of life are passed over."""
    for one in stream:
        message = one.json()
        assert not message.get("board"), "the whole board again"
        assert not message.get("end"), message
        if message.get("event"):
            return message["event"]["number"], message["event"]["revision"], one.id
    raise AssertionError("the stream ended")


def rest(stream: Iterator[ServerSentEvent]) -> list[ServerSentEvent]:
    """What comes until the connection ends, however it does."""
    found: list[ServerSentEvent] = []
    with suppress(httpx.TransportError):
        found.extend(stream)
    return found


def killed(running: Running) -> psutil.Process:
    """The queue service, after SIGKILL."""
    process = running.children()["queue_svc"]
    process.kill()
    return process


def test_a_board_goes_on_after_the_service_was_killed(
    running: Running, client: httpx.Client, facility: Facility
) -> None:
    hall = Hall(client, facility.admin)
    hall.take()
    with hall.board(running.url) as stream:
        first = next(stream)
        assert first.json()["board"]["services"][0]["waiting"] == 1
        assert first.id == first.json()["cursor"] != ""
        hall.take()
        number, revision, cursor = event(stream)
        assert (number, revision) == ("C-002", 2)
        old = killed(running)
        ended = rest(stream)
        assert not [one for one in ended if one.json().get("event")]
    missed = [hall.take() for _ in range(3)]
    running.wait_healthy()
    assert running.children()["queue_svc"].pid != old.pid
    with hall.board(running.url, cursor) as stream:
        found = [event(stream) for _ in missed]
        last = hall.take()
        found.append(event(stream))
    assert [one[0] for one in found] == [*missed, last] == ["C-003", "C-004", "C-005", "C-006"]
    assert [one[1] for one in found] == [3, 4, 5, 6]
    with hall.board(running.url, "nonsense") as stream:
        whole = next(stream).json()["board"]
    assert whole["services"][0]["waiting"] == 6

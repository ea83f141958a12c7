import io
import json
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import connect_sse
from PIL import Image

from mesh.contract.methods import SERVERS
from tests.e2e.conftest import Facility, Running
from tests.support.waiting import PATIENCE_SECONDS, eventually_now

pytestmark = pytest.mark.model
Json = dict[str, Any]


def reason(reply: httpx.Response) -> str:
    """The ErrorInfo reason of an error, which must have the one shape."""
    body = reply.json()
    assert set(body) == {"code", "message", "details"}, body
    info = body["details"][0]
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert info["domain"] == "mediq"
    found: str = info["reason"]
    return found


def upload(client: httpx.Client, photo: bytes, **query: str) -> httpx.Response:
    return client.post("/ocr/upload", files={"file": ("ktp.jpg", photo)}, params=query)


def bearer(answer: Json) -> dict[str, str]:
    return {"authorization": f"Bearer {answer['session']['accessToken']}"}


def confirm(
    client: httpx.Client, draft: Json, facility: Facility, **changes: str
) -> httpx.Response:
    consent = client.get("/consent").json()
    body = {
        "requestId": str(uuid.uuid4()),
        "draftId": draft["draft"]["id"],
        "institutionId": facility.institution,
        "serviceId": facility.service,
        "consent": True,
        "consentVersion": consent["version"],
        "purposes": [term["purpose"] for term in consent["terms"]],
        **changes,
    }
    return client.post("/ocr/confirm", json=body, headers=bearer(draft))


@pytest.fixture(scope="module")
def draft(client: httpx.Client, card: bytes) -> Json:
    reply = upload(client, card)
    assert reply.status_code == httpx.codes.OK, reply.text
    answer: Json = reply.json()
    return answer


class TestMainJob:
    """In order: each test goes on where the one before ended."""

    registration: Json

    def test_the_photo_becomes_a_draft(self, draft: Json) -> None:
        fields = draft["draft"]["ktp"]
        assert draft["draft"]["documentType"] == "DOCUMENT_TYPE_KTP"
        assert len(fields["nik"]["value"]) == 16
        assert fields["nama"]["confidence"] > 0.5
        read = [name for name, field in fields.items() if field and field["value"]]
        assert len(read) >= 15

    def test_a_correction_keeps_the_read_value(self, client: httpx.Client, draft: Json) -> None:
        path = f"/ocr/{draft['draft']['id']}"
        read = draft["draft"]["ktp"]["alamat"]["value"]
        reply = client.patch(path, json={"alamat": "JL. MELATI NO. 5"}, headers=bearer(draft))
        assert reply.status_code == httpx.codes.OK, reply.text
        correction = reply.json()["corrections"][0]
        assert (correction["readValue"], correction["correctedValue"]) == (read, "JL. MELATI NO. 5")

    def test_another_nik_is_refused(self, client: httpx.Client, draft: Json) -> None:
        path = f"/ocr/{draft['draft']['id']}"
        reply = client.patch(path, json={"nik": "9901010101019999"}, headers=bearer(draft))
        assert reason(reply) == "NIK_CHANGED_TOO_MUCH"
        assert "9901010101019999" not in reply.text

    def test_confirmation_gives_a_ticket(
        self, client: httpx.Client, draft: Json, facility: Facility
    ) -> None:
        reply = confirm(client, draft, facility)
        assert reply.status_code == httpx.codes.OK, reply.text
        type(self).registration = reply.json()
        ticket = self.registration["ticket"]
        assert self.registration["state"] == "REGISTRATION_STATE_COMPLETED"
        assert (ticket["number"], ticket["status"]) == ("A-001", "TICKET_STATUS_WAITING")
        assert ticket["peopleAhead"] == 0

    def test_confirming_again_gives_the_same_ticket(
        self, client: httpx.Client, draft: Json, facility: Facility
    ) -> None:
        again = confirm(client, draft, facility).json()
        assert again["id"] == self.registration["id"]
        assert again["ticket"]["id"] == self.registration["ticket"]["id"]
        listed = client.get(
            "/queue",
            params={"institutionId": facility.institution},
            headers=facility.operator,
        )
        assert len(listed.json()["tickets"]) == 1

    def test_the_call_reaches_the_live_stream(
        self, client: httpx.Client, running: Running, facility: Facility
    ) -> None:
        ticket = self.registration["ticket"]
        seen: list[Json] = []
        first = threading.Event()

        def follow() -> None:
            with (
                httpx.Client(base_url=running.url, timeout=PATIENCE_SECONDS) as own,
                connect_sse(
                    own, "GET", f"/queue/{ticket['id']}/live", headers=bearer(self.registration)
                ) as stream,
            ):
                for event in stream.iter_sse():
                    message = event.json()
                    if message.get("ticket"):
                        seen.append(message["ticket"])
                        first.set()
                    if seen and seen[-1]["status"] == "TICKET_STATUS_CALLED":
                        return

        phone = threading.Thread(target=follow)
        phone.start()
        assert first.wait(PATIENCE_SECONDS)
        body = {
            "institutionId": facility.institution,
            "serviceId": facility.service,
            "counterId": facility.counter,
        }
        called = client.post("/queue/next", json=body, headers=facility.operator)
        assert called.json()["id"] == ticket["id"]
        phone.join(PATIENCE_SECONDS)
        assert [one["status"] for one in seen] == ["TICKET_STATUS_WAITING", "TICKET_STATUS_CALLED"]
        assert seen[-1]["counterName"] == "Loket 1"
        empty = client.post("/queue/next", json=body, headers=facility.operator)
        assert (empty.status_code, reason(empty)) == (404, "QUEUE_EMPTY")

    def test_patient_sees_a_masked_nik(self, client: httpx.Client, draft: Json) -> None:
        reply = client.get("/users/profile", headers=bearer(self.registration))
        nik = draft["draft"]["ktp"]["nik"]["value"]
        assert nik not in reply.text
        assert reply.json()["maskedNik"] == f"{nik[:4]}********{nik[-4:]}"

    def test_patient_login_opens_the_same_ticket(self, client: httpx.Client, draft: Json) -> None:
        fields = draft["draft"]["ktp"]
        body = {"nik": fields["nik"]["value"], "name": fields["nama"]["value"].lower()}
        session = client.post("/auth/login/user", json=body)
        assert session.status_code == httpx.codes.OK, session.text
        headers = {"authorization": f"Bearer {session.json()['accessToken']}"}
        mine = client.get("/queue/my-queue", headers=headers).json()["tickets"]
        assert [one["id"] for one in mine] == [self.registration["ticket"]["id"]]


def bomb() -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(buffer, "PNG")
    return buffer.getvalue()


def landscape() -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((900, 600), 60).convert("RGB").save(buffer, "JPEG")
    return buffer.getvalue()


class TestBadPhotos:
    @pytest.mark.parametrize(
        ("photo", "status", "expected"),
        [
            (bytes, 400, "EMPTY_UPLOAD"),
            (lambda: b"this is text, not a photo", 400, "NOT_AN_IMAGE"),
            (bomb, 400, "IMAGE_TOO_LARGE"),
            (landscape, 400, "NO_CARD"),
            (lambda: b"\xff\xd8\xff\xe0" + b"\x00" * 2000, 400, "CORRUPT_IMAGE"),
        ],
        ids=["0 bytes", "not an image", "bomb", "no card", "damaged"],
    )
    def test_photo(
        self, client: httpx.Client, photo: Callable[[], bytes], status: int, expected: str
    ) -> None:
        reply = upload(client, photo())
        assert (reply.status_code, reason(reply)) == (status, expected)

    def test_50_megabytes(self, client: httpx.Client) -> None:
        reply = upload(client, b"\xff" * 50_000_000)
        assert (reply.status_code, reason(reply)) == (413, "REQUEST_TOO_LARGE")

    def test_wrong_content_type(self, client: httpx.Client) -> None:
        headers = {"content-type": "text/plain"}
        reply = client.post("/ocr/upload", content=b"hello", headers=headers)
        assert (reply.status_code, reason(reply)) == (400, "UNSUPPORTED_CONTENT_TYPE")

    def test_broken_multipart(self, client: httpx.Client) -> None:
        headers = {"content-type": "multipart/form-data; boundary=x"}
        reply = client.post("/ocr/upload", content=b"--x\r\nnonsense", headers=headers)
        assert (reply.status_code, reason(reply)) == (400, "BROKEN_MULTIPART")

    def test_same_request_id_same_draft(self, client: httpx.Client, card: bytes) -> None:
        key = str(uuid.uuid4())
        form = {"content-type": "image/jpeg"}
        first, second = (
            client.post("/ocr/upload", content=card, headers=form, params={"requestId": key})
            for _ in range(2)
        )
        assert first.json()["draft"]["id"] == second.json()["draft"]["id"]


class TestBadCalls:
    def test_unknown_path(self, client: httpx.Client) -> None:
        reply = client.get("/nothing/here")
        assert (reply.status_code, reason(reply)) == (404, "ROUTE_NOT_FOUND")

    def test_unknown_method(self, client: httpx.Client) -> None:
        reply = client.put("/institutions")
        assert (reply.status_code, reason(reply)) == (405, "METHOD_NOT_ALLOWED")
        assert reply.headers["allow"] == "GET, POST"

    def test_unknown_query_field(self, client: httpx.Client) -> None:
        reply = client.get("/institutions", params={"colour": "red"})
        assert (reply.status_code, reason(reply)) == (400, "REQUEST_MALFORMED")

    def test_unknown_enum(self, client: httpx.Client, facility: Facility) -> None:
        query = {"role": "ROLE_KING"}
        reply = client.get("/users", params=query, headers=facility.admin)
        assert (reply.status_code, reason(reply)) == (400, "REQUEST_MALFORMED")

    def test_bad_nik(self, client: httpx.Client) -> None:
        reply = client.post("/auth/login/user", json={"nik": "12", "name": "BUDI"})
        assert (reply.status_code, reason(reply)) == (400, "INVALID_REQUEST")
        fields = reply.json()["details"][1]["fieldViolations"]
        assert [one["field"] for one in fields] == ["nik"]

    def test_unknown_draft_field_is_dropped(self, client: httpx.Client, draft: Json) -> None:
        path = f"/ocr/{draft['draft']['id']}"
        reply = client.patch(path, json={"colour": "red"}, headers=bearer(draft))
        assert reply.status_code in (200, 400)

    def test_no_token(self, client: httpx.Client) -> None:
        reply = client.get("/queue/my-queue")
        assert (reply.status_code, reason(reply)) == (401, "TOKEN_MISSING")

    def test_draft_of_someone_else(self, client: httpx.Client, draft: Json, card: bytes) -> None:
        other = upload(client, card).json()
        reply = client.get(f"/ocr/{draft['draft']['id']}", headers=bearer(other))
        assert (reply.status_code, reason(reply)) == (403, "OTHER_SUBJECT")

    def test_facility_that_does_not_exist(
        self, client: httpx.Client, card: bytes, facility: Facility
    ) -> None:
        made = upload(client, card).json()
        reply = confirm(client, made, facility, institutionId=str(uuid.uuid4()))
        assert (reply.status_code, reason(reply)) == (404, "INSTITUTION_NOT_FOUND")


class TestOperation:
    def test_docs_and_openapi(self, client: httpx.Client) -> None:
        page = client.get("/api/docs")
        assert page.headers["content-type"].startswith("text/html")
        script = client.get("/api/docs/swagger-ui-bundle.js")
        assert script.status_code == httpx.codes.OK
        assert client.get("/api/openapi.json").json()["openapi"].startswith("3.1")

    def test_status_command(self, running: Running) -> None:
        done = running.mediq("status")
        assert done.returncode == 0, done.stdout
        assert done.stdout.count("ready") == len(SERVERS)

    def test_a_second_mesh_is_refused(self, running: Running) -> None:
        done = running.mediq("up")
        assert done.returncode == 1
        assert "runs in" in done.stderr

    def test_killed_service_is_a_typed_503_and_comes_back(
        self, running: Running, client: httpx.Client
    ) -> None:
        running.children()["institution_svc"].kill()
        reply = client.get("/institutions")
        assert (reply.status_code, reason(reply)) == (503, "SERVICE_UNAVAILABLE")
        running.wait_healthy()
        eventually_now(lambda: client.get("/institutions").status_code == httpx.codes.OK)
        assert client.get("/institutions").json()["institutions"]

    def test_nothing_personal_in_logs_and_databases(self, running: Running, draft: Json) -> None:
        nik = draft["draft"]["ktp"]["nik"]["value"].encode()
        name = draft["draft"]["ktp"]["nama"]["value"].encode()
        home = Path(running.environment["MEDIQ_HOME"])
        files = [running.log, *(path for path in (home / "data").iterdir() if path.is_file())]
        assert len(files) > 4
        for path in files:
            content = path.read_bytes()
            assert nik not in content, path
            assert name not in content, path

    def test_log_lines_of_services_are_json(self, running: Running) -> None:
        for line in running.log.read_text().splitlines():
            service, _, text = line.partition("|")
            if service.strip() in SERVERS and text.strip().startswith("{"):
                assert json.loads(text)["service"] == service.strip()

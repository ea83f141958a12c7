"""Every RPC that the contracts call audited, called for real, and looked for in the trail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pyotp
import pytest
from mediq.policy.v1.policy_pb2 import AuditClass

from mesh.contract.methods import methods
from tests.attacks.world import Json, Person, World, bearer
from tests.support.waiting import eventually_now

pytestmark = pytest.mark.model
AUDITED = {
    method.name: method
    for method in methods().values()
    if method.policy.audit != AuditClass.AUDIT_CLASS_NONE
}
NOT_OF_PERSONS = {
    *("CreateInstitution", "UpdateInstitution", "DeleteInstitution"),
    *("CreateHealthcareService", "UpdateHealthcareService", "CreateCounter"),
    *("UploadDocument", "GetDraft", "UpdateDraft", "ConfirmRegistration"),
}
"""Methods that touch facilities, or drafts that have no account yet."""
REASON = "diminta oleh pasien di loket"


@dataclass(frozen=True)
class Place:
    """A facility of the day."""

    institution: str
    clinic: str
    pharmacy: str
    counter: str


@dataclass
class Day:
    """A day at a facility of its own, in which every audited RPC is called."""

    world: World
    photo: bytes
    staff: dict[str, str]
    """Header of the administrator of the network."""

    def call(self, verb: str, path: str, headers: dict[str, str], **sent: Any) -> Json:
        """An answer that must be good."""
        reply = self.world.client.request(verb, path, headers=headers, **sent)
        assert reply.status_code == httpx.codes.OK, f"{verb} {path}: {reply.text}"
        return dict(reply.json()) if reply.content else {}

    def post(self, path: str, body: Json, headers: dict[str, str] | None = None) -> Json:
        return self.call("POST", path, self.staff if headers is None else headers, json=body)

    def get(
        self,
        path: str,
        headers: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
    ) -> Json:
        return self.call("GET", path, self.staff if headers is None else headers, params=params)

    def stream(self, path: str, headers: dict[str, str], **params: str) -> None:
        """Opens a live stream until it says something."""
        client = self.world.client
        with client.stream("GET", path, headers=headers, params=params) as reply:
            assert reply.status_code == httpx.codes.OK
            next(reply.iter_text())

    def facilities(self) -> Place:
        """Makes facilities; one of them is closed again."""
        place = {"name": "Puskesmas Jejak", "city": "Garut", "timeZone": "Asia/Jakarta"}
        closed, used = (self.post("/institutions", place)["id"] for _ in range(2))
        self.call("PATCH", f"/institutions/{used}", self.staff, json={"city": "Tasik"})
        self.call("DELETE", f"/institutions/{closed}", self.staff)
        path = f"/institutions/{used}"
        clinic, pharmacy = (
            self.post(f"{path}/services", {"name": name, "prefix": prefix})["id"]
            for name, prefix in (("Poli", "A"), ("Apotek", "B"))
        )
        self.call("PATCH", f"{path}/services/{clinic}", self.staff, json={"name": "Poli Umum"})
        counter = self.post(f"{path}/counters", {"name": "Loket 9"})["id"]
        return Place(used, clinic, pharmacy, counter)

    def accounts(self, place: Place) -> None:
        """Staff come, sign in, protect themselves, change and go."""
        email, password = f"{uuid4().hex}@mediq.example", f"rahasia-{uuid4().hex}"
        self.world.secrets.update({email, password})
        named = {"nama": f"Petugas {self.world.first.patient_name}", "email": email}
        body = {**named, "role": "ROLE_OPERATOR", "password": password}
        made = self.post("/users", {**body, "institutionId": place.institution})["id"]
        login = {"email": email, "password": password}
        pair = self.post("/auth/login/admin", login, {})
        again = self.post("/auth/refresh", {"refreshToken": pair["refreshToken"]}, {})
        sessions = self.get("/auth/sessions", bearer(again["accessToken"]))["sessions"]
        self.call("DELETE", f"/auth/sessions/{sessions[0]['id']}", bearer(again["accessToken"]))
        pair = self.post("/auth/login/admin", login, {})
        self.post("/auth/logout", {"refreshToken": pair["refreshToken"]}, {})
        login["password"] = self.new_password(login)
        secret = self.post("/auth/totp/begin", login, {})["secret"]
        code = pyotp.TOTP(secret).now()
        self.world.secrets.add(secret)
        self.post("/auth/totp/confirm", {**login, "totpCode": code}, {})
        wrong = self.world.client.post("/auth/login/admin", json={**login, "password": "x" * 20})
        assert wrong.status_code == httpx.codes.UNAUTHORIZED
        self.get(f"/users/{made}")
        self.get("/users")
        self.get("/users/profile")
        self.world.secrets.add(self.post(f"/users/{made}/password/reset", {})["password"])
        role = {"role": "ROLE_ADMIN_FASKES"}
        self.call("PATCH", f"/users/{made}/role", self.staff, json=role)
        self.call("DELETE", f"/users/{made}", self.staff)

    def new_password(self, login: dict[str, str]) -> str:
        """Changes the password of a login."""
        password = f"rahasia-{uuid4().hex}"
        self.world.secrets.add(password)
        self.post("/auth/password", {**login, "newPassword": password}, {})
        return password

    def registration(self, place: Place) -> tuple[str, dict[str, str], str]:
        """A card becomes a ticket: the patient, their session, the ticket."""
        form = {"content-type": "image/jpeg"}
        reply = self.world.client.post("/ocr/upload", content=self.photo, headers=form)
        assert reply.is_success, reply.text
        draft = reply.json()
        self.world.secrets.add(draft["session"]["accessToken"])
        own, path = bearer(draft["session"]["accessToken"]), f"/ocr/{draft['draft']['id']}"
        self.get(path, own)
        self.call("PATCH", path, own, json={"alamat": "JL. JEJAK NO. 1"})
        consent = self.get("/consent", {})
        body = {
            "requestId": str(uuid4()),
            "draftId": draft["draft"]["id"],
            "institutionId": place.institution,
            "serviceId": place.clinic,
            "consent": True,
            "consentVersion": consent["version"],
            "purposes": [one["purpose"] for one in consent["terms"]],
        }
        self.post("/ocr/confirm", body, own)
        found = self.get(f"{path}/registration", own)
        assert found["state"] == "REGISTRATION_STATE_COMPLETED", found
        self.world.secrets.add(found["session"]["accessToken"])
        session = bearer(found["session"]["accessToken"])
        nik, nama = (draft["draft"]["ktp"][name]["value"] for name in ("nik", "nama"))
        self.world.secrets.update({nik, nama})
        self.post("/auth/login/user", {"nik": nik, "name": nama}, {})
        self.post("/users/check-nik", {"nik": nik})
        self.post("/users/by-nik", {"nik": nik})
        return found["userId"], session, found["ticket"]["id"]

    def tickets(self, place: Place, patient: str, session: dict[str, str], ticket: str) -> None:
        """The ticket is looked at from all sides, called, sent on and ended."""
        where = {"institutionId": place.institution, "serviceId": place.clinic}
        for path in ("", "/position", "/history"):
            self.get(f"/queue/{ticket}{path}")
        journey = self.get(f"/queue/{ticket}")["journeyId"]
        self.get(f"/queue/journeys/{journey}")
        self.get(f"/queue/journeys/{journey}/encounter")
        self.get("/queue/my-queue", session)
        self.get("/queue", params={"institutionId": place.institution})
        self.get("/queue/next", params=where)
        self.get("/queue/upcoming", params=where)
        self.stream(f"/queue/{ticket}/live", session)
        self.stream(f"/queue/counters/{place.counter}/live", self.staff, **where)
        urgent = {"priority": "PRIORITY_URGENT", "reason": REASON}
        self.call("PATCH", f"/queue/{ticket}/priority", self.staff, json=urgent)
        counter = {"counterId": place.counter}
        self.post("/queue/next", {**where, **counter})
        self.get("/queue/current", params={"institutionId": place.institution})
        self.post(f"/queue/{ticket}/call", counter)
        serving = {"status": "TICKET_STATUS_SERVING"}
        self.call("PATCH", f"/queue/{ticket}/status", self.staff, json=serving)
        sent = self.post(
            f"/queue/{ticket}/transfer", {"serviceId": place.pharmacy, "reason": REASON}
        )
        self.call("DELETE", f"/queue/{sent['id']}", self.staff, params={"reason": REASON})
        extra = self.post("/queue", {**where, "patientId": patient})["id"]
        self.call("DELETE", f"/queue/{extra}", session)

    def rights(self, patient: str) -> None:
        """The patient uses their rights, and is forgotten in the end."""
        self.post(f"/users/{patient}/reveal-nik", {"reason": REASON})
        correction = {"alamat": "JL. JEJAK NO. 2", "reason": REASON}
        self.call("PATCH", f"/users/{patient}/identity", self.staff, json=correction)
        opened = self.post(f"/users/{patient}/data-rights", {"reason": REASON})["accessToken"]
        self.world.secrets.add(opened)
        self.get(f"/data-rights/{patient}/export", bearer(opened))
        self.get(f"/data-rights/{patient}/accesses", bearer(opened))
        self.get("/audit/entries", params={"personId": patient})
        times = {"startTime": "2026-01-01T00:00:00Z", "endTime": "2100-01-01T00:00:00Z"}
        self.get("/audit/persons", params=times)
        erasure = {"requestId": str(uuid4())}
        self.post(f"/data-rights/{patient}/erasure", erasure, bearer(opened))

    def run(self) -> str:
        """All of it; gives the patient."""
        place = self.facilities()
        self.accounts(place)
        patient, session, ticket = self.registration(place)
        self.tickets(place, patient, session, ticket)
        self.rights(patient)
        return patient


def entries(world: World, network: Person, **asked: str) -> list[Json]:
    """All pages of the trail."""
    found: list[Json] = []
    token = ""
    while True:
        params = {"pageSize": "200", "pageToken": token, **asked}
        reply = world.client.get("/audit/entries", params=params, headers=network.headers)
        assert reply.is_success, reply.text
        found += reply.json()["entries"]
        token = reply.json()["nextPageToken"]
        if not token:
            return found


@pytest.fixture(scope="module")
def patient(world: World, tmp_path_factory: pytest.TempPathFactory) -> str:
    photo = tmp_path_factory.mktemp("cards") / "ktp.jpg"
    drawn = world.running.mediq("sample-card", str(photo), "--seed", "23")
    assert drawn.returncode == 0, drawn.stderr
    return Day(world, photo.read_bytes(), world.network.headers).run()


@pytest.fixture(scope="module")
def trail(world: World, patient: str) -> list[Json]:
    """The trail, once the last thing of the day is in it."""
    eventually_now(
        lambda: set(AUDITED) <= {one["event"]["method"] for one in entries(world, world.network)},
        120,
        every_seconds=0.5,
    )
    return entries(world, world.network)


def test_every_audited_rpc_is_in_the_trail(trail: list[Json]) -> None:
    done = {one["event"]["method"] for one in trail if not one["event"]["refusal"]}
    assert set(AUDITED) - done == set()


def test_the_class_of_the_contract_is_the_act_of_the_event(trail: list[Json]) -> None:
    for entry in trail:
        event = entry["event"]
        if event["refusal"] or event["method"] not in AUDITED:
            continue
        kind = AuditClass.Name(AUDITED[event["method"]].policy.audit)
        assert event["act"] == kind.replace("AUDIT_CLASS_", "AUDIT_ACT_"), event
        assert event["service"] == AUDITED[event["method"]].server


def test_what_touches_a_person_names_the_person(trail: list[Json]) -> None:
    named = {one["event"]["method"] for one in trail if one["event"]["personIds"]}
    assert set(AUDITED) - named - NOT_OF_PERSONS == set()


def test_the_patient_finds_all_that_was_done(world: World, trail: list[Json], patient: str) -> None:
    found = entries(world, world.network, personId=patient)
    expected = {one["event"]["id"] for one in trail if patient in one["event"]["personIds"]}
    assert {one["event"]["id"] for one in found} >= expected
    by = {one["event"]["method"] for one in found}
    assert by >= {"EnsurePatient", "IssueTicket", "GetTicket", "RevealNik", "ErasePatient"}
    (revealed,) = [one for one in found if one["event"]["method"] == "RevealNik"]
    assert revealed["event"]["reason"] == REASON
    assert revealed["event"]["actor"]["id"] == world.network.id
    assert revealed["event"]["actor"]["address"] == "127.0.0.1"


def test_the_chain_holds(world: World, trail: list[Json]) -> None:
    positions = sorted(int(one["position"]) for one in trail)
    assert positions == list(range(positions[0], positions[-1] + 1))
    verified = world.running.mediq("audit", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_failed_login_is_in_the_trail(trail: list[Json]) -> None:
    refused = [one["event"] for one in trail if one["event"]["refusal"] == "INVALID_CREDENTIALS"]
    assert [one for one in refused if one["method"] == "LoginAdmin" and one["personIds"]]

"""Two facilities with their people and patients, made through the API as people would make them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import jwt
from mediq.policy.v1.policy_pb2 import Role

from mesh.identity.tokens import TokenSigner
from tests.attacks.made import Side
from tests.e2e.conftest import Running

Json = dict[str, Any]
SURNAMES = ("Kusumadewanto", "Wiratmadinata")
"""Of the people of each facility: words that nothing else contains."""
NIKS = ("3201014105900017", "3273022308850024")
"""Of the patients of each facility."""


def bearer(token: str) -> dict[str, str]:
    """The header that carries a token."""
    return {"authorization": f"Bearer {token}"}


@dataclass(frozen=True)
class Person:
    """Somebody with an account, and their way in."""

    id: str
    name: str
    email: str = field(repr=False)
    password: str = field(repr=False)
    access: str = field(repr=False)
    refresh: str = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """The header with their access token."""
        return bearer(self.access)

    @property
    def session_id(self) -> str:
        """The session of their access token."""
        claims = jwt.decode(self.access, options={"verify_signature": False})
        return str(claims["sid"])


@dataclass(frozen=True)
class Facility:
    """A facility, its staff, a patient with a ticket, and a draft."""

    side: Side
    admin: Person
    operator: Person
    nik: str
    patient_name: str
    patient: dict[str, str] = field(repr=False)
    """Header of the patient's own account."""
    tickets: dict[str, str] = field(repr=False)
    """Header of the session that the patient's login opens."""
    registration: dict[str, str] = field(repr=False)
    """Header of the session of the draft."""
    rights: dict[str, str] = field(repr=False)
    """Header of the session in which the patient uses their rights."""


@dataclass(frozen=True)
class World:
    """The running mesh and everything in it."""

    running: Running
    client: httpx.Client
    home: Path
    network: Person
    first: Facility
    second: Facility
    secrets: set[str] = field(repr=False)
    """What must not be found in anything that is written."""


class Founder:
    """Makes the world."""

    def __init__(self, running: Running, client: httpx.Client, photo: bytes) -> None:
        self._running = running
        self._client = client
        self._photo = photo
        self.home = Path(running.environment["MEDIQ_HOME"])
        self.secrets: set[str] = set()

    def found(self) -> World:
        """Both facilities and the administrator of the network."""
        created = self._running.mediq("admin", "create", "--email", "net@mediq.example", "--json")
        assert created.returncode == 0, created.stderr
        account = json.loads(created.stdout)
        network = self._login(account["email"], account["password"], "")
        first, second = (self._facility(network, number) for number in (0, 1))
        return World(self._running, self._client, self.home, network, first, second, self.secrets)

    def _facility(self, network: Person, number: int) -> Facility:
        surname, headers = SURNAMES[number], network.headers
        place = {
            "requestId": str(uuid4()),
            "name": f"Puskesmas {number}",
            "city": "Bandung",
            "timeZone": "Asia/Jakarta",
        }
        institution = self._post("/institutions", place, headers)["id"]
        path = f"/institutions/{institution}"
        service = self._post(f"{path}/services", {"name": "Poli Umum", "prefix": "A"}, headers)
        counter = self._post(f"{path}/counters", {"name": "Loket 1"}, headers)
        admin = self._staff(network, "ROLE_ADMIN_FASKES", institution, f"Kepala {surname}")
        operator = self._staff(admin, "ROLE_OPERATOR", institution, f"Petugas {surname}")
        name, nik = f"Pasien {surname}", NIKS[number]
        body = {"role": "ROLE_PASIEN", "nik": nik, "nama": name, "institutionId": institution}
        patient = self._post("/users", body, admin.headers)["id"]
        request = {
            "requestId": str(uuid4()),
            "institutionId": institution,
            "serviceId": service["id"],
            "patientId": patient,
        }
        ticket = self._post("/queue", request, operator.headers)
        session = self._post("/auth/login/user", {"nik": nik, "name": name}, {})["accessToken"]
        asked = {"reason": "kartu dilihat, minta salinan data"}
        opened = self._post(f"/users/{patient}/data-rights", asked, operator.headers)
        rights = opened["accessToken"]
        draft = self._draft()
        token = self._signed(patient)
        self.secrets |= {
            nik,
            name.upper(),
            name,
            session,
            rights,
            token,
            draft["session"]["accessToken"],
        }
        side = Side(
            institution_id=institution,
            service_id=service["id"],
            counter_id=counter["id"],
            patient_id=patient,
            ticket_id=ticket["id"],
            journey_id=ticket["journeyId"],
            user_id=operator.id,
            session_id=operator.session_id,
            draft_id=draft["draft"]["id"],
        )
        registration = bearer(draft["session"]["accessToken"])
        return Facility(
            side,
            admin,
            operator,
            nik,
            name,
            bearer(token),
            bearer(session),
            registration,
            bearer(rights),
        )

    def _draft(self) -> Json:
        form = {"content-type": "image/jpeg"}
        reply = self._client.post("/ocr/upload", content=self._photo, headers=form)
        assert reply.status_code == httpx.codes.OK, reply.text
        draft: Json = reply.json()
        self.secrets |= {draft["draft"]["ktp"][key]["value"] for key in ("nik", "nama")}
        return draft

    def _signed(self, patient: str) -> str:
        """A patient's own token: the role exists in the contracts, no login gives it out yet."""
        token, _ = TokenSigner(self.home / "keys").sign(
            patient, lifetime_seconds=600, session_id=str(uuid4()), role=Role.ROLE_PASIEN
        )
        return token

    def _staff(self, by: Person, role: str, institution: str, name: str) -> Person:
        email = f"{uuid4().hex}@mediq.example"
        password = f"rahasia-{uuid4().hex}"
        body = {"nama": name, "role": role, "email": email, "password": password}
        place = {"requestId": str(uuid4()), "institutionId": institution}
        self._post("/users", {**body, **place}, by.headers)
        return self._login(email, password, name)

    def _login(self, email: str, password: str, name: str) -> Person:
        pair = self._post("/auth/login/admin", {"email": email, "password": password}, {})
        access, refresh = pair["accessToken"], pair["refreshToken"]
        self.secrets |= {email, password, access, refresh, *([name] if name else [])}
        return Person(pair["user"]["id"], name, email, password, access, refresh)

    def _post(self, path: str, body: Json, headers: dict[str, str]) -> Json:
        reply = self._client.post(path, json=body, headers=headers)
        assert reply.status_code == httpx.codes.OK, reply.text
        made: Json = reply.json()
        return made

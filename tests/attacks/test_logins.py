"""Guessing: who has an account, and with which password."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from uuid import uuid4

import httpx
import psutil
import pytest
from mediq.policy.v1.policy_pb2 import RateClass

from mesh.edge import EdgeSettings
from tests.attacks.world import World

pytestmark = [pytest.mark.model, pytest.mark.timeout(120)]
STAFF_TRIES = 4
"""Below what the throttle lets pass at once."""
PATIENTS = 15
PATIENT_TRIES = 4
BAND = 3.0
"""How many times as long one kind of try may take, on a machine that does other things as well."""
WORK_BAND = 1.5
"""The same for processor time, of which other programs take nothing."""
INVALID = (401, "INVALID_CREDENTIALS")
NIK = "32730201019{:05d}"


def reason(reply: httpx.Response) -> tuple[int, str]:
    """Status and reason of an error."""
    return reply.status_code, reply.json()["details"][0]["reason"]


def staff(world: World, email: str, password: str) -> httpx.Response:
    return world.client.post("/auth/login/admin", json={"email": email, "password": password})


def patient(client: httpx.Client, nik: str, name: str) -> httpx.Response:
    return client.post("/auth/login/user", json={"nik": nik, "name": name})


def operator(world: World, password: str) -> str:
    """The e-mail address of a new operator."""
    email = f"{uuid4().hex}@mediq.example"
    body = {
        "nama": f"Petugas {world.first.patient_name.split()[1]}",
        "role": "ROLE_OPERATOR",
        "email": email,
        "password": password,
        "institutionId": world.first.side.institution_id,
    }
    made = world.client.post("/users", json=body, headers=world.first.admin.headers)
    assert made.is_success, made.text
    world.secrets.update({email, password})
    return email


def test_every_character_of_a_long_password_counts(world: World) -> None:
    """Bcrypt reads 72 bytes and stops at a zero byte."""
    start = (uuid4().hex * 3)[:71]
    first, second = f"{start}xa", f"{start}xb"
    email = operator(world, first)
    assert len(first.encode()) == 73
    for wrong in (second, first[:72], f"{first}c"):
        assert reason(staff(world, email, wrong)) == INVALID
    assert staff(world, email, first).is_success
    zero = f"{uuid4().hex}\0{uuid4().hex}"
    email = operator(world, zero)
    assert reason(staff(world, email, zero.partition("\0")[0])) == INVALID
    assert staff(world, email, zero).is_success


def test_an_unknown_address_costs_as_much_work_as_a_wrong_password(world: World) -> None:
    service = world.running.children()["user_svc"]
    email = operator(world, f"rahasia-{uuid4().hex}")
    work: dict[bool, float] = {True: 0.0, False: 0.0}
    texts = set()
    for number in range(2 * STAFF_TRIES):
        known = number % 2 == 0
        shown = email if known else f"{uuid4().hex}@mediq.example"
        before = spent(service)
        reply = staff(world, shown, "salah-salah-salah-salah")
        work[known] += spent(service) - before
        assert reason(reply) == INVALID
        texts.add(without_trace(reply))
    assert len(texts) == 1
    assert min(work.values()) > 0.1, "a password hash was computed both times"
    assert max(work.values()) < WORK_BAND * min(work.values()), work


def spent(process: psutil.Process) -> float:
    """Seconds of processor time."""
    times = process.cpu_times()
    return float(times.user + times.system)


def without_trace(reply: httpx.Response) -> str:
    body = reply.json()
    body["details"][0]["metadata"].pop("traceId", None)
    return str(body)


def test_an_unknown_nik_answers_like_a_wrong_name(world: World) -> None:
    name = world.second.patient_name
    niks = [NIK.format(number + 1) for number in range(PATIENTS)]
    for nik in niks:
        body = {"role": "ROLE_PASIEN", "nik": nik, "nama": name}
        assert world.client.post("/users", json=body, headers=world.network.headers).is_success
    world.secrets.update(niks)
    taken: dict[str, list[float]] = {"known": [], "unknown": []}
    texts = set()

    def timed(kind: str, nik: str) -> None:
        began = time.perf_counter()
        reply = patient(world.client, nik, "Orang Lain")
        taken[kind].append(time.perf_counter() - began)
        assert reason(reply) == INVALID
        texts.add(without_trace(reply))

    for repetition in range(PATIENT_TRIES):
        for number, nik in enumerate(niks):
            stranger = NIK.format(50_000 + number)
            world.secrets.add(stranger)
            # The order changes, so that neither kind profits from what the other has warmed up.
            tries: list[Callable[[], None]] = [
                lambda nik=nik: timed("known", nik),  # type: ignore[misc]
                lambda nik=stranger: timed("unknown", nik),  # type: ignore[misc]
            ]
            for one in tries if (number + repetition) % 2 else reversed(tries):
                one()
    assert len(texts) == 1
    known, unknown = (statistics.median(taken[kind]) for kind in ("known", "unknown"))
    assert max(known, unknown) < BAND * min(known, unknown), (known, unknown)


def test_names_for_one_nik_are_throttled_known_or_not(world: World) -> None:
    known, unknown = NIK.format(70_001), NIK.format(70_002)
    world.secrets.update({known, unknown})
    body = {"role": "ROLE_PASIEN", "nik": known, "nama": world.first.patient_name}
    assert world.client.post("/users", json=body, headers=world.network.headers).is_success
    answers = {
        nik: [reason(patient(world.client, nik, f"Nama {number}")) for number in range(8)]
        for nik in (known, unknown)
    }
    assert answers[known] == answers[unknown]
    assert answers[known][0] == INVALID
    assert answers[known][-1] == (429, "LOGIN_THROTTLED")
    right = patient(world.client, known, world.first.patient_name)
    assert reason(right) == (429, "LOGIN_THROTTLED"), "the right name does not help a guesser"


def test_many_niks_from_one_address_meet_the_limit_of_logins(
    world: World, strict: EdgeSettings
) -> None:
    allowed = strict.rates[RateClass.RATE_CLASS_LOGIN].address.tokens
    url = f"http://127.0.0.1:{strict.listen_port}"
    guesser = httpx.HTTPTransport(local_address="127.0.0.61")
    other = httpx.HTTPTransport(local_address="127.0.0.62")
    with httpx.Client(base_url=url, transport=guesser, timeout=20) as client:
        answers: list[tuple[int, str]] = []
        began = time.monotonic()
        while not answers or answers[-1] != (429, "RATE_LIMITED"):
            nik = NIK.format(80_000 + len(answers))
            world.secrets.add(nik)
            answers.append(reason(patient(client, nik, "Orang Lain")))
            assert len(answers) < 3 * allowed
        refill = time.monotonic() - began + 2
        assert allowed <= len(answers) - 1 <= allowed + refill
        assert set(answers[:-1]) == {INVALID}
        assert client.get("/institutions").is_success, "only logins are limited"
    with httpx.Client(base_url=url, transport=other, timeout=20) as client:
        assert reason(patient(client, NIK.format(90_000), "Orang Lain")) == INVALID

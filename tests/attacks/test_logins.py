"""Guessing: who has an account, and with which password."""

from __future__ import annotations

import statistics
import time
from uuid import uuid4

import httpx
import psutil
import pytest
from mediq.policy.v1.policy_pb2 import RateClass

from edge import EdgeSettings
from tests.attacks.callers import INVALID, operator, reason, staff, without_trace
from tests.attacks.world import World
from tests.support.pairs import ROUNDS, alike
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.model
STAFF_TRIES = 4
"""Below what the throttle lets pass at once."""
PATIENTS = 60
PATIENT_TRIES = 4
WORK_BAND = 1.5
"""The same for processor time of single tries, which is counted in steps of 10 ms."""
NAME = "SITI RAHMAWATI"
NIK = "32730201019{:05d}"


def patient(client: httpx.Client, nik: str, name: str) -> httpx.Response:
    return client.post("/auth/login/user", json={"nik": nik, "name": name})


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


def test_an_unknown_nik_answers_like_a_wrong_name(world: World) -> None:
    """With the same words, after the same time."""
    ratios: list[float] = []
    texts = set()

    def seconds(nik: str) -> float:
        world.secrets.add(nik)
        began = time.perf_counter()
        reply = patient(world.client, nik, "Orang Lain")
        taken = time.perf_counter() - began
        assert reason(reply) == INVALID
        texts.add(without_trace(reply))
        return taken

    for start in range(1, ROUNDS * PATIENTS, PATIENTS):
        numbers = range(start, start + PATIENTS)
        for number in numbers:
            body = {"role": "ROLE_PASIEN", "nik": NIK.format(number), "nama": NAME}
            assert world.client.post("/users", json=body, headers=world.network.headers).is_success
        for turn in range(PATIENT_TRIES):
            for number in numbers:
                pair = [NIK.format(number), NIK.format(50_000 + number)]
                taken = [seconds(nik) for nik in (pair if turn % 2 else reversed(pair))]
                known, unknown = taken if turn % 2 else reversed(taken)
                ratios.append(known / unknown)
        if alike(ratios):
            break
    else:
        pytest.fail(f"a known NIK takes {statistics.median(ratios):.2f} times as long")
    assert len(texts) == 1


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
    with httpx.Client(base_url=url, transport=guesser, timeout=PATIENCE_SECONDS) as client:
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
    with httpx.Client(base_url=url, transport=other, timeout=PATIENCE_SECONDS) as client:
        assert reason(patient(client, NIK.format(90_000), "Orang Lain")) == INVALID

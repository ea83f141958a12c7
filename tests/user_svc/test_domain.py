from __future__ import annotations

import datetime

import pytest

from mesh.errors import MeshError
from user_svc.domain import identity, login_throttle, sessions
from user_svc.domain.accounts import Person, Role
from user_svc.domain.sessions import Refresh

TODAY = datetime.date(2026, 3, 1)
NOW = datetime.datetime(2026, 3, 1, 8, tzinfo=datetime.UTC)
SECOND = datetime.timedelta(seconds=1)
GRACE = 10 * SECOND


@pytest.mark.parametrize(
    ("nik", "valid"),
    [
        ("3201011508900001", True),
        ("3201015508900001", True),
        ("3201012902000001", True),
        ("3201016902000001", True),
        ("3201012902010001", False),
        ("3201013102900001", False),
        ("3201017208900001", False),
        ("3201013508900001", False),
        ("3201010008900001", False),
        ("3201011513900001", False),
        ("3201011508900000", False),
        ("0901011508900001", False),
        ("320101150890001", False),
        ("32010115089000O1", False),
        ("\N{FULLWIDTH DIGIT THREE}201011508900001", False),
    ],
)
def test_nik(nik: str, valid: bool) -> None:
    assert identity.is_nik(nik, TODAY) is valid


def test_mask() -> None:
    assert identity.mask_nik("3201011508900001") == "3201********0001"
    assert identity.mask_nik("") == ""


@pytest.mark.parametrize(
    ("name", "other", "same"),
    [
        ("SITI RAHMAWATI", "siti  rahmawati", True),
        ("SITI RAHMAWATI", "SITI RAHMAWAT1", True),
        ("MUHAMMAD RIZKI", "MUHAMAD RIZKI", True),
        ("SITI RAHMAWATI", "SITI NURHALIZA", False),
        ("BUDI", "SITI RAHMAWATI", False),
    ],
)
def test_same_person(name: str, other: str, same: bool) -> None:
    assert identity.same_person(name, other) is same


@pytest.mark.parametrize(
    ("is_open", "life", "used_ago", "successor_used", "verdict"),
    [
        (True, 1, None, False, Refresh.ROTATE),
        (True, 1, 0, False, Refresh.REPEAT),
        (True, 1, 10, False, Refresh.REPEAT),
        (True, 1, 11, False, Refresh.REUSE),
        (True, 1, 1, True, Refresh.REUSE),
        (False, 1, None, False, Refresh.ENDED),
        (False, 1, 99, False, Refresh.ENDED),
        (True, 0, None, False, Refresh.ENDED),
        (True, -1, 1, False, Refresh.ENDED),
    ],
)
def test_judge(
    is_open: bool, life: int, used_ago: int | None, successor_used: bool, verdict: Refresh
) -> None:
    shown = sessions.Shown(
        session_open=is_open,
        session_expire_time=NOW + life * SECOND,
        use_time=None if used_ago is None else NOW - used_ago * SECOND,
        successor_used=successor_used,
    )
    assert sessions.judge(shown, NOW, GRACE) is verdict


def test_throttle_doubles_up_to_a_minute() -> None:
    waits = [login_throttle.wait_after(n).total_seconds() for n in range(14)]
    assert waits == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert login_throttle.wait_after(10_000).total_seconds() == 60


def test_a_guesser_who_never_stops_gets_a_try_a_minute() -> None:
    """Tries during the wait do not prolong it, and a quarter of an hour without one ends it."""
    known = login_throttle.charged(None, NOW)
    allowed, waits = 1, []
    for second in range(1, 3600):
        try:
            known = login_throttle.charged(known, NOW + second * SECOND)
            allowed += 1
        except MeshError as error:
            waits.append((error.reason, error.retry_after_seconds or 0))
    assert {reason for reason, _ in waits} == {"LOGIN_THROTTLED"}
    assert 0 < min(waits)[1] <= max(waits)[1] <= 60
    assert 60 <= allowed <= 75
    known = login_throttle.charged(known, known.last_time + 60 * SECOND)
    forgotten = login_throttle.charged(
        known, known.last_time + login_throttle.FORGOTTEN_AFTER + SECOND
    )
    assert forgotten.failures == 1


def test_free_tries_at_the_same_moment_pass_in_any_order() -> None:
    """Each reads its clock before it waits for the others' count."""
    known = login_throttle.charged(None, NOW)
    for earlier in range(1, login_throttle.FREE_TRIES):
        known = login_throttle.charged(known, NOW - earlier * SECOND / 1000)
    assert known == login_throttle.Attempts(login_throttle.FREE_TRIES, NOW)
    with pytest.raises(MeshError, match="LOGIN_THROTTLED"):
        login_throttle.charged(known, NOW)


def test_people_do_not_show() -> None:
    person = Person(role=Role.PASIEN, nama="SITI", nik="3201011508900001")
    assert "SITI" not in repr(person)
    assert "3201" not in repr(person)

"""Days begin at the facility's own midnight."""

import datetime

import pytest

from mesh.errors import MeshError
from queue_svc.domain.days import active_days, parse_day, service_day, week_until

MIDNIGHTS = [("Asia/Jakarta", 17), ("Asia/Makassar", 16), ("Asia/Jayapura", 15)]
"""WIB, WITA and WIT with the UTC hour of their midnight."""


def at(hour: int, minute: int = 0) -> datetime.datetime:
    return datetime.datetime(2026, 3, 2, hour, minute, tzinfo=datetime.UTC)


@pytest.mark.parametrize(("zone", "hour"), MIDNIGHTS)
def test_midnight(zone: str, hour: int) -> None:
    assert service_day(at(hour) - datetime.timedelta(microseconds=1), zone) == "2026-03-02"
    assert service_day(at(hour), zone) == "2026-03-03"


@pytest.mark.parametrize(("zone", "hour"), MIDNIGHTS)
def test_who_waits_at_midnight_is_still_called(zone: str, hour: int) -> None:
    assert active_days(at(hour, 5), zone, 6) == ("2026-03-02", "2026-03-03")
    assert active_days(at(hour) - datetime.timedelta(minutes=1), zone, 6) == ("2026-03-02",)
    assert active_days(at(hour) + datetime.timedelta(hours=6), zone, 6) == ("2026-03-03",)
    assert active_days(at(hour, 5), zone, 0) == ("2026-03-03",)


@pytest.mark.parametrize("text", ["2026-02-30", "0001-01-01", "9999-12-31"])
def test_days_that_are_none(text: str) -> None:
    with pytest.raises(MeshError) as caught:
        parse_day("day", text)
    assert caught.value.reason == "DAY_INVALID"


def test_a_week_crosses_months() -> None:
    days = week_until(datetime.date(2026, 3, 2))
    assert (days[0], days[-1], len(days)) == ("2026-02-24", "2026-03-02", 7)

"""Facility-local days."""

import datetime
from zoneinfo import ZoneInfo

from mesh.errors import invalid

OLDEST_YEAR, NEWEST_YEAR = 2000, 2199
"""Years that reports are asked for."""


def service_day(now: datetime.datetime, time_zone: str) -> str:
    """Returns the day at a facility, YYYY-MM-DD: it begins at the facility's own midnight."""
    return now.astimezone(ZoneInfo(time_zone)).date().isoformat()


def active_days(now: datetime.datetime, time_zone: str, carry_hours: int) -> tuple[str, ...]:
    """Returns the days whose tickets are called now, the older one first.

    Numbers start again at midnight, but those who waited at midnight still wait. After some hours
    the rest of yesterday's queue has gone home.

    Args:
        now: The moment.
        time_zone: Zone of the facility, an IANA name.
        carry_hours: Hours after midnight in which yesterday's tickets are called too.
    """
    local = now.astimezone(ZoneInfo(time_zone))
    today = local.date()
    if local.hour < carry_hours:
        return (today - datetime.timedelta(days=1)).isoformat(), today.isoformat()
    return (today.isoformat(),)


def seconds_until(now: datetime.datetime, time_zone: str, closes: str) -> float | None:
    """Returns seconds until a service closes today; 0 when it has closed, None when it never does.

    Args:
        now: The moment.
        time_zone: Zone of the facility, an IANA name.
        closes: Closing time there, HH:MM, or empty.
    """
    if not closes:
        return None
    local = now.astimezone(ZoneInfo(time_zone))
    end = datetime.datetime.combine(local.date(), datetime.time.fromisoformat(closes), local.tzinfo)
    return max(0.0, (end - local).total_seconds())


def parse_day(field: str, text: str) -> datetime.date:
    """Returns the day that a request names.

    Raises:
        MeshError: INVALID_ARGUMENT with reason DAY_INVALID.
    """
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError as error:
        raise invalid(field, "not a day of the calendar", "DAY_INVALID") from error
    if not OLDEST_YEAR <= day.year <= NEWEST_YEAR:
        raise invalid(field, "too far away", "DAY_INVALID")
    return day


def days_between(first: datetime.date, last: datetime.date) -> tuple[str, ...]:
    """Returns the days from one to another, both included, oldest first."""
    return tuple(
        (first + datetime.timedelta(days=number)).isoformat()
        for number in range((last - first).days + 1)
    )


def week_until(last: datetime.date) -> tuple[str, ...]:
    """Returns seven days that end on a day, oldest first."""
    return days_between(last - datetime.timedelta(days=6), last)

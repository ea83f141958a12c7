"""Numbers as messages, and as CSV."""

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration
from mediq.queue.v1 import report_service_pb2 as requests

from queue_svc.domain.numbers import DayPart, Moment, Sample, Tally
from queue_svc.domain.states import Priority
from queue_svc.domain.tickets import Queue

Grouping = TypeVar("Grouping", bound=Hashable)
Tallies = Mapping[int, Mapping[DayPart, Tally]]
"""Numbers by queue and part."""
Days = Mapping[str, tuple[Sequence[Queue], Tallies]]
"""Queues of a day and their numbers, by day."""
_COUNTED = ("issued", "done", "no_show", "cancelled", "transferred", "called", "within_standard")
_COMPARED = ("compared", "within_ten_minutes", "under_upper_bound")
_COLUMNS = (
    *("day", "service_id", "service", "standard_wait_s", "hour", "counter_id", "counter", "class"),
    *(*_COUNTED, *_COMPARED, "wait_s", "mean_wait_s", "service_s", "mean_service_s"),
)
_FORMULA_STARTS = tuple("=+-@\t\r\n\0＝＋－＠")  # noqa: RUF001 - Excel takes the wide ones too


def daily(day: str, queues: Sequence[Queue], tallies: Tallies) -> requests.DailyStats:
    """Returns the numbers of one day, whole and in parts.

    Args:
        day: The day, YYYY-MM-DD.
        queues: Its queues.
        tallies: Their numbers.
    """
    return _stats(day, [(queue, tallies.get(queue.id, {})) for queue in queues])


def weekly(days: Days) -> requests.WeeklyStats:
    """Returns the numbers of several days, each and together."""
    everything = [
        (queue, tallies.get(queue.id, {})) for queues, tallies in days.values() for queue in queues
    ]
    return requests.WeeklyStats(
        days=[daily(day, *numbers) for day, numbers in days.items()],
        total=_stats("", everything),
    )


def now(
    institution_id: str,
    today: str,
    queues: Sequence[Queue],
    tallies: Tallies,
    moments: Mapping[tuple[str, str], Moment],
) -> requests.QueueStats:
    """Returns the numbers of a facility now.

    Args:
        institution_id: The facility.
        today: Its day: what is closed counts for today.
        queues: The queues of all days whose tickets are still called.
        tallies: Their numbers.
        moments: What each service looks like, by facility and service.
    """
    answer = requests.QueueStats(institution_id=institution_id, service_day=today)
    whole = Tally()
    for service, members in _groups(queues, lambda queue: queue.key).items():
        newest, moment = members[-1], moments[service]
        mine = Tally.total(
            tally
            for queue in members
            if queue.day == today
            for tally in tallies.get(queue.id, {}).values()
        )
        whole = Tally.total([whole, mine])
        one = answer.services.add(
            service_id=newest.service.service_id,
            service_name=newest.service.service_name,
            waiting=sum(queue.waiting for queue in members),
            in_service=moment.in_service,
            last_called_number=_last_called(members),
            open_counters=moment.open_counters,
            standard_wait=Duration(seconds=60 * newest.service.standard_minutes),
        )
        _fill(one, mine)
        if moment.longest_wait_seconds is not None:
            one.longest_wait.FromSeconds(round(moment.longest_wait_seconds))
        answer.waiting += one.waiting
        answer.in_service += one.in_service
    answer.services.sort(key=lambda one: (one.service_name, one.service_id))
    _fill(answer, whole)
    _accuracy(answer.accuracy, whole)
    return answer


def csv_document(days: Days) -> bytes:
    """Returns the numbers as CSV (RFC 4180), one row a day, service, hour, counter and priority.

    UTF-8 with a byte order mark, without which Excel takes the names for another character set.
    Times are whole seconds: with Indonesian settings Excel takes 12.5 for the 12th of May. There
    are no quantiles, which cannot be added up; counts and sums can.

    Args:
        days: The days, oldest first. Their tallies need no samples.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for day, (queues, tallies) in days.items():
        for queue in sorted(queues, key=lambda one: (one.service.service_name, one.id)):
            for part, tally in _filled(tallies.get(queue.id, {})):
                writer.writerow(_row(day, queue, part, tally))
    return b"\xef\xbb\xbf" + text.getvalue().encode()


def _stats(
    day: str, numbers: Sequence[tuple[Queue, Mapping[DayPart, Tally]]]
) -> requests.DailyStats:
    every = [(queue, *one) for queue, parts in numbers for one in _filled(parts)]
    whole = Tally.total(tally for _, _, tally in every)
    answer = requests.DailyStats(day=day)
    _fill(answer, whole)
    _accuracy(answer.accuracy, whole)
    services = {queue.service.service_id: queue.service for queue, _ in numbers}
    by_service = _grouped(every, lambda queue, _: queue.service.service_id)
    for key in sorted(services, key=lambda one: (services[one].service_name, one)):
        group = answer.services.add(key=key, name=services[key].service_name)
        group.standard_wait.FromSeconds(60 * services[key].standard_minutes)
        _fill(group, by_service.get(key, Tally()))
    for hour, tally in sorted(_grouped(every, lambda _, part: f"{part.hour:02d}").items()):
        _fill(answer.hours.add(key=hour), tally)
    names = {part.counter_id: part.counter_name for _, part, _ in every}
    by_counter = _grouped(every, lambda _, part: part.counter_id)
    for key in sorted(set(by_counter) - {""}, key=lambda one: (names[one], one)):
        _fill(answer.counters.add(key=key, name=names[key]), by_counter[key])
    for priority, tally in sorted(_grouped(every, lambda _, part: part.priority).items())[::-1]:
        _fill(answer.classes.add(key=f"PRIORITY_{priority.name}"), tally)
    return answer


def _fill(
    message: requests.DailyStats
    | requests.StatsGroup
    | requests.QueueStats
    | requests.ServiceStats,
    tally: Tally,
) -> None:
    """Sets the fields that a message has: the numbers have the same names in all of them."""
    fields = message.DESCRIPTOR.fields_by_name
    for name in _COUNTED:
        if name in fields:
            setattr(message, name, tally.counts[name])
    for name, value in _times(tally).items():
        if name in fields and value is not None:
            getattr(message, name).FromMilliseconds(value)


def _times(tally: Tally) -> dict[str, int | None]:
    """Returns means and quantiles, in milliseconds."""
    return {
        "mean_wait": tally.mean_wait_ms,
        "median_wait": tally.quantile_ms(Sample.WAIT, 0.5),
        "p90_wait": tally.quantile_ms(Sample.WAIT, 0.9),
        "mean_service": tally.mean_service_ms,
        "median_service": tally.quantile_ms(Sample.SERVICE, 0.5),
        "p90_service": tally.quantile_ms(Sample.SERVICE, 0.9),
    }


def _accuracy(message: requests.EstimateAccuracy, tally: Tally) -> None:
    for name in _COMPARED:
        setattr(message, name, tally.counts[name])
    error = tally.quantile_ms(Sample.ERROR, 0.5)
    if error is not None:
        message.median_error.FromMilliseconds(error)


def _last_called(queues: Iterable[Queue]) -> str:
    called = [queue for queue in queues if queue.last_call_time is not None]
    return max(called, key=lambda one: str(one.last_call_time)).last_called_number if called else ""


def _grouped(
    every: Iterable[tuple[Queue, DayPart, Tally]], key: Callable[[Queue, DayPart], Grouping]
) -> dict[Grouping, Tally]:
    groups: dict[Grouping, list[Tally]] = defaultdict(list)
    for queue, part, tally in every:
        groups[key(queue, part)].append(tally)
    return {name: Tally.total(members) for name, members in groups.items()}


def _groups(
    queues: Iterable[Queue], key: Callable[[Queue], Grouping]
) -> dict[Grouping, list[Queue]]:
    groups: dict[Grouping, list[Queue]] = defaultdict(list)
    for queue in queues:
        groups[key(queue)].append(queue)
    return groups


def _filled(parts: Mapping[DayPart, Tally]) -> list[tuple[DayPart, Tally]]:
    """Returns the parts in which something happened and stayed, the earlier hour first."""
    filled = [(part, tally) for part, tally in parts.items() if not tally.empty]
    return sorted(filled, key=lambda one: _order(one[0]))


def _order(part: DayPart) -> tuple[int, str, str, int]:
    return part.hour, part.counter_name, part.counter_id, -part.priority


def _row(day: str, queue: Queue, part: DayPart, tally: Tally) -> list[str | int]:
    counts = tally.counts
    return [
        day,
        queue.service.service_id,
        _plain(queue.service.service_name),
        60 * queue.service.standard_minutes,
        part.hour,
        part.counter_id,
        _plain(part.counter_name),
        Priority(part.priority).name,
        *(counts[name] for name in (*_COUNTED, *_COMPARED)),
        *(_seconds(one) for one in (counts["wait_ms"], tally.mean_wait_ms)),
        *(_seconds(one) for one in (counts["service_ms"], tally.mean_service_ms)),
    ]


def _seconds(milliseconds: int | None) -> int | str:
    return "" if milliseconds is None else round(milliseconds / 1000)


def _plain(text: str) -> str:
    """Returns a name that no spreadsheet takes for a formula (OWASP, CSV Injection)."""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA_STARTS) else text

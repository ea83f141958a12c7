"""Numbers and order under load: what the database says afterwards, and how fast it was."""

import statistics
import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from bench.databases import connect, query
from bench.processes import cpu_seconds, database_server
from bench.queue.client import Result
from bench.queue.raw import Rate, Raw
from bench.queue.stack import COUNTERS, Place, Stack
from bench.table import Row
from queue_svc.domain.states import TicketEventType

ROLLED_BACK = 0.05
"""Share of transactions that fail, here and in the baseline."""
KILL_SECONDS = 1.0
"""Pause between two transactions that are killed."""
CONNECTIONS = 128
"""Of the throughput: 16 wait for each other more than for the servers."""
SLOW_WRITERS = 4
"""Writers that 16 operators wait for."""
RATIO = 60.0
"""Percent of the baseline that the whole way through Envoy must reach."""
_VICTIMS = (
    "SELECT trx_mysql_thread_id FROM information_schema.innodb_trx "
    "JOIN information_schema.processlist ON id = trx_mysql_thread_id "
    "WHERE db = %s AND trx_rows_modified > 0 LIMIT 1"
)
_SEQUENCES = (
    "SELECT sequence, number, patient_id, tickets.id FROM tickets "
    "JOIN queues ON queues.id = queue_id WHERE institution_id = %s"
)
_CALLS = (
    "SELECT tickets.id, tickets.priority, queue_time, sequence FROM ticket_changes "
    "JOIN tickets ON tickets.id = ticket_id JOIN queues ON queues.id = tickets.queue_id "
    "WHERE institution_id = %s AND act = %s ORDER BY ticket_changes.revision"
)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that a share of all do not pass; NaN without any."""
    if not values:
        return float("nan")
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


@contextmanager
def killing(database: str) -> Iterator[Counter[str]]:
    """Kills a transaction that has written every now and then; counts them."""
    over, killed = threading.Event(), Counter[str]()

    def kill() -> None:
        with closing(connect()) as connection, connection.cursor() as cursor:
            pause = KILL_SECONDS
            while not over.wait(pause):
                cursor.execute(_VICTIMS, (database,))
                found = cursor.fetchone()
                # The server makes that list again after a tenth of a second.
                pause = 0.11
                if found is not None:
                    killed["transactions"] += cursor.execute("KILL %s", found) == 0
                    pause = KILL_SECONDS

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


@dataclass
class Issues:
    """What rounds of issuing came to."""

    raw: list[Rate] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Processor seconds by process."""
    found: Counter[str] = field(default_factory=Counter)
    """Tickets and faults, by name."""
    refused: Counter[str] = field(default_factory=Counter)

    def check(self, stack: Stack, place: Place, result: Result) -> None:
        """Counts what the database holds of a place that only `result` has written to."""
        rows = query(stack.database, _SEQUENCES, place.institution_id)
        sequences = {row[0] for row in rows}
        identifiers = {row[3] for row in rows}
        self.found["tickets"] += len(rows)
        self.found["duplicates"] += len(rows) - len({row[1] for row in rows})
        self.found["gaps"] += len(set(range(1, max(sequences) + 1)) - sequences)
        self.found["twice"] += len(rows) - len({row[2] for row in rows})
        self.found["lost"] += sum(one[2] not in identifiers for one in result.done)
        self.refused.update(result.refused)


def issue(stack: Stack, raw: Raw, rounds: int, tickets: int) -> tuple[list[Row], Place]:
    """Issues tickets, alternating with the baseline.

    Args:
        stack: The servers.
        raw: The baseline.
        rounds: How often.
        tickets: Of one round, in a queue of its own.

    Returns:
        The table, and the place of the last round, where all its tickets wait.
    """
    seen, killed = Issues(), Counter[str]()
    watched = {**stack.children, "mariadbd": database_server()}
    for _ in range(rounds):
        seen.raw.append(raw.issue(tickets // 3, COUNTERS, ROLLED_BACK))
        place = stack.place()
        before = {name: cpu_seconds(one) for name, one in watched.items() if one is not None}
        with killing(stack.database) as kills:
            result = stack.issue(place, tickets, refused=ROLLED_BACK)
        for name, was in before.items():
            if (one := watched[name]) is not None:
                seen.cpu[name] += cpu_seconds(one) - was
        seen.cpu["client"] += result.cpu_seconds
        seen.ours.append(len(result.done) / (result.ended - result.began))
        seen.latencies += [1000 * (answered - sent) for sent, answered, _ in result.done]
        seen.check(stack, place, result)
        killed.update(kills)
    return _issue_rows(seen, killed, rounds * tickets), place


def _issue_rows(seen: Issues, killed: Counter[str], asked: int) -> list[Row]:
    found = seen.found
    note = (
        f"{found['tickets']} of {asked} tickets; {dict(seen.refused)}, "
        f"{killed['transactions']} transactions killed"
    )
    issued = statistics.median(seen.ours)
    base = statistics.median(one.per_second for one in seen.raw)
    pairs = zip(seen.ours, seen.raw, strict=True)
    ratio = statistics.median(100 * mine / one.per_second for mine, one in pairs)
    tail = percentile(seen.latencies, 0.99)
    rows = [
        Row("issue: duplicate numbers", found["duplicates"], "", 0, False, note),
        Row("issue: gaps", found["gaps"], "", 0, False),
        Row(
            "issue: patients with two tickets, answers lost",
            found["twice"] + found["lost"],
            "",
            0,
            False,
        ),
        Row("issue: tickets missing", asked - found["tickets"], "", 0, False),
        Row("issue, 16 writers, failures included", issued, "/s", note=_rounds(seen.ours)),
        Row("issue, 16 writers / raw SQL", ratio, "%", RATIO, True, f"raw {base:.0f}/s"),
        Row("issue: p50", percentile(seen.latencies, 0.5), "ms", note=f"p99 {tail:.1f} ms"),
    ]
    rows += [
        Row(f"CPU of {name}, 1,000 tickets", 1000 * seconds / found["tickets"], "s")
        for name, seconds in seen.cpu.items()
    ]
    raw_cpu = statistics.median(one.cpu_seconds for one in seen.raw)
    return [*rows, Row("CPU of the raw SQL's process, 1,000 tickets", raw_cpu, "s")]


def throughput(stack: Stack, raw: Raw, rounds: int, tickets: int) -> list[Row]:
    """Issues tickets from many connections, and nothing fails; alternates with the baseline.

    Args:
        stack: The servers.
        raw: The baseline, which is fastest with 16 threads.
        rounds: How often.
        tickets: Of one round, in a queue of its own.
    """
    ours: list[float] = []
    base: list[float] = []
    latencies: list[float] = []
    for _ in range(rounds):
        base.append(raw.issue(tickets // 3, COUNTERS, 0).per_second)
        result = stack.issue(stack.place(), tickets, writers=CONNECTIONS)
        ours.append(len(result.done) / (result.ended - result.began))
        latencies += [1000 * (answered - sent) for sent, answered, _ in result.done]
    ratio = statistics.median(100 * mine / raw for mine, raw in zip(ours, base, strict=True))
    note = f"raw {statistics.median(base):.0f}/s; p99 {percentile(latencies, 0.99):.0f} ms"
    name = f"issue, {CONNECTIONS} connections"
    return [
        Row(name, statistics.median(ours), "/s", 1000, True, _rounds(ours)),
        Row(f"{name} / raw SQL", ratio, "%", RATIO, True, note),
    ]


def _rounds(rates: Sequence[float]) -> str:
    return "rounds: " + ", ".join(f"{rate:.0f}" for rate in rates)


@dataclass
class Calls:
    """What rounds of calling came to."""

    ours: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    called: int = 0
    empty: int = 0
    double: int = 0
    false_empty: int = 0
    disorder: int = 0
    missing: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def check(self, stack: Stack, place: Place, issued: Result, result: Result) -> None:
        """Adds what happened at a place where `issued` were issued and `result` called."""
        history = query(stack.database, _CALLS, place.institution_id, int(TicketEventType.CALLED))
        answered = Counter(one[2] for one in result.done)
        self.called += len(history)
        self.double += len(history) - len({row[0] for row in history})
        self.double += len(result.done) - len(answered)
        self.missing += len(issued.done) - len({row[0] for row in history} & set(answered))
        for priority in {row[1] for row in history}:
            line = [row[2:] for row in history if row[1] == priority]
            self.disorder += sum(later < earlier for earlier, later in pairwise(line))
        self.empty += len(result.empty)
        self.false_empty += false_empties(issued, result)
        self.refused.update(result.refused)
        self.latencies += [1000 * (end - sent) for sent, end, _ in result.done]


def false_empties(issued: Result, called: Result) -> int:
    """Answers QUEUE_EMPTY while a ticket provably waited.

    It had been answered before that request was sent, and its call was sent after that answer.
    """
    calls = {ticket: sent for sent, _, ticket in called.done}
    waits = sorted((end, calls[ticket]) for _, end, ticket in issued.done if ticket in calls)
    made = [end for end, _ in waits]
    latest = list(accumulate((sent for _, sent in waits), max))
    false = 0
    for sent, answered in called.empty:
        before = bisect_left(made, sent)
        false += before > 0 and latest[before - 1] > answered
    return false


def call(stack: Stack, raw: Raw, rounds: int, tickets: int) -> list[Row]:
    """Calls tickets of all priorities, alternating with the baseline; then while they come in."""
    seen, base = Calls(), []
    for _ in range(rounds):
        base.append(raw.call(tickets, COUNTERS).per_second)
        place = stack.place()
        issued = stack.issue(place, tickets)
        result = stack.call(place, tickets)
        seen.ours.append(len(result.done) / (result.ended - result.began))
        seen.check(stack, place, issued, result)
    hungry, place = Calls(), stack.place()
    hungry.check(stack, place, *stack.issue_and_call(place, tickets, SLOW_WRITERS))
    rate = statistics.median(seen.ours)
    ratio = statistics.median(
        100 * mine / raw_rate for mine, raw_rate in zip(seen.ours, base, strict=True)
    )
    note = f"{rounds} rounds of {tickets}, {seen.empty} times empty; {dict(seen.refused)}"
    return [
        *_order_rows("call", seen, note),
        *_order_rows("call as they come in", hungry, f"{hungry.empty} times empty"),
        Row("call: calls through Envoy", rate, "/s", note=_rounds(seen.ours)),
        Row("call / raw SQL", ratio, "%", RATIO, True, f"raw {statistics.median(base):.0f}/s"),
        Row("call: p50", percentile(seen.latencies, 0.5), "ms"),
        Row("call: p99", percentile(seen.latencies, 0.99), "ms", 100, False),
    ]


def _order_rows(name: str, seen: Calls, note: str) -> list[Row]:
    return [
        Row(f"{name}: called twice", seen.double, "", 0, False, note),
        Row(f"{name}: false QUEUE_EMPTY", seen.false_empty, "", 0, False),
        Row(f"{name}: not the oldest of its priority", seen.disorder, "", 0, False),
        Row(f"{name}: never called", seen.missing, "", 0, False),
    ]

"""How soon watchers see a change, and what a hall of them costs."""

import asyncio
import json
import time
from bisect import bisect_right
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from uuid import uuid4

import psutil

from bench.queue.client import Result
from bench.queue.numbers import percentile
from bench.queue.stack import Place, Stack
from bench.queue.wire import Connection, payload
from bench.table import Row

BOARD_SECONDS, TICKET_SECONDS, HALL_SECONDS = 0.15, 0.4, 0.4
"""Pauses between two calls: all watchers have seen one before the next."""
SETTLE_SECONDS = 2.0
WARM = 10
"""Changes before the measured ones."""
Request = Callable[[str, str, dict[str, Any]], Awaitable[dict[str, Any]]]


def run(stack: Stack, work: Callable[[Request], Awaitable[None]]) -> None:
    """Sends requests one after the other over one connection."""

    async def main() -> None:
        connection = await Connection.open(stack.plan.edge_port)

        async def request(method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
            text = json.dumps(body).encode() if body else b""
            status, answer = await connection.send(payload(method, path, stack.token, text))
            if status != 200:
                raise SystemExit(f"{method} {path} was refused: {answer.decode()}")
            found: dict[str, Any] = json.loads(answer)
            return found

        await work(request)
        connection.close()

    asyncio.run(main())


def calling(place: Place) -> dict[str, Any]:
    """The body of a call of the next ticket."""
    return {
        "requestId": str(uuid4()),
        "institutionId": place.institution_id,
        "serviceId": place.service_id,
        "counterId": place.counters[0],
    }


def _paced(stack: Stack, place: Place, calls: int, pause: float) -> list[tuple[float, float]]:
    """Calls at a pace: for each the time of the change and of its answer."""
    made: list[tuple[float, float]] = []

    async def work(request: Request) -> None:
        for _ in range(calls):
            ticket = await request("POST", "/queue/next", calling(place))
            made.append((_seconds(ticket["callTime"]), time.time()))
            await asyncio.sleep(pause)
        await asyncio.sleep(SETTLE_SECONDS)

    run(stack, work)
    return made


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _delays(seen: Result) -> list[float]:
    """From the change to its arrival at each watcher, in milliseconds."""
    known: dict[str, float] = {}
    return [
        1000 * (arrived - (known.get(when) or known.setdefault(when, _seconds(when))))
        for updates in seen.updates
        for arrived, when, _ in updates
        if when
    ]


def boards(stack: Stack, watchers: int, calls: int) -> list[Row]:
    """Watchers of one board while tickets are called."""
    place = stack.place()
    stack.issue(place, calls)
    path = f"/queue/boards/{place.institution_id}/live"
    with stack.watching([path] * watchers) as client:
        made = _paced(stack, place, calls, BOARD_SECONDS)
        seen = client.stop()
    delays = _delays(seen)
    missed = watchers * calls - len(delays)
    answers = {round(changed, 6): answered for changed, answered in made}
    after = [
        1000 * (arrived - answers[round(_seconds(when), 6)])
        for updates in seen.updates
        for arrived, when, _ in updates
        if when and round(_seconds(when), 6) in answers
    ]
    note = f"{calls} calls, from the change inside the transaction; {missed} events missed"
    half, most = percentile(after, 0.5), percentile(after, 0.99)
    behind = f"behind the caller's answer: {half:.1f} and {most:.1f} ms"
    name = f"change to {watchers} board watchers"
    return [
        Row(f"{name}, p50", percentile(delays, 0.5), "ms", 20, False, note),
        Row(f"{name}, p99", percentile(delays, 0.99), "ms", 100, False, behind),
        Row(f"{name}, missed", missed, "", 0, False),
    ]


def tickets(stack: Stack, watchers: int, calls: int) -> list[Row]:
    """Watchers of a ticket each, all in one queue: a call changes the place of all of them."""
    place = stack.place()
    issued = stack.issue(place, watchers + calls)
    paths = [f"/queue/{ticket}/live" for _, _, ticket in issued.done[-watchers:]]
    with stack.watching(paths, token=stack.token) as client:
        made = [changed for changed, _ in _paced(stack, place, calls, TICKET_SECONDS)]
        seen = client.stop()
    delays = []
    for updates in seen.updates:
        for arrived, _, _ in updates:
            # The first message behind a call; nothing else happens in that queue.
            latest = bisect_right(made, arrived) - 1
            if latest >= 0:
                delays.append(1000 * (arrived - made[latest]))
    name = f"change to {watchers} ticket watchers"
    note = f"{len(delays)} messages of {calls} calls"
    return [
        Row(f"{name}, p50", percentile(delays, 0.5), "ms", note=note),
        Row(f"{name}, p99", percentile(delays, 0.99), "ms"),
    ]


def hall(stack: Stack, watchers: int, calls: int) -> list[Row]:
    """Many watchers of one process: who gets what, and the memory of it."""
    place = stack.place()
    stack.issue(place, calls)
    server = stack.children["queue_svc"]
    before = _megabytes(server)
    path = f"/queue/boards/{place.institution_id}/live"
    with stack.watching([path] * watchers) as client:
        opened = _megabytes(server)
        _paced(stack, place, calls, HALL_SECONDS)
        after = _megabytes(server)
        seen = client.stop()
    expected = set(range(calls + 1, 2 * calls + 1))
    whole = sum({revision for _, _, revision in updates} == expected for updates in seen.updates)
    delays = _delays(seen)
    note = f"p50 {percentile(delays, 0.5):.1f}, p99 {percentile(delays, 0.99):.1f} ms"
    each = 1000 * (after - before) / watchers
    return [
        Row(
            f"{watchers} watchers: share that got every event",
            100 * whole / watchers,
            "%",
            100,
            True,
            note,
        ),
        Row(
            "memory of queue_svc with them",
            after,
            "MB",
            note=f"{before:.0f} before, {opened:.0f} at first",
        ),
        Row("memory of a watcher", each, "kB"),
    ]


def _megabytes(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 1e6

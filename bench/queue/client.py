"""The load, in a process of its own: a job comes in on stdin, its result goes to stdout."""

import asyncio
import json
import random
import re
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import uuid4

import uvloop

from bench.queue.wire import HOST, Connection, Stream, payload

TRIES = 20
"""Repetitions of a request whose transaction was lost, with the same request_id."""
LONGEST_SECONDS = 100.0
"""When operators stop waiting for more tickets."""
OPENING = 40
"""Streams that are opened at the same time."""
PRIORITIES = ("LOW", "NORMAL", "HIGH", "URGENT")
SHARES = (20, 60, 15, 5)
"""Of 100 tickets, as in the simulation."""
_ID = re.compile(rb'"id":"([0-9a-f-]{36})"')
_REASON = re.compile(rb'"reason":"([A-Z_]+)"')
_OCCURRED = re.compile(rb'"revision":(\d+)')
_TIME = re.compile(rb'"occurTime":"([^"]+)"')
_MESSAGE = re.compile(rb"data: [^\n]*\n\n")


@dataclass(frozen=True)
class Job:
    """What to do."""

    kind: str
    """issue, call or watch."""
    port: int
    """Of Envoy."""
    token: str = ""
    institution_id: str = ""
    service_id: str = ""
    counters: tuple[str, ...] = ()
    """Counters that call, an operator each."""
    writers: int = 0
    """Connections that issue."""
    tickets: int = 0
    """Tickets to issue, or to call, all together."""
    refused_share: float = 0.0
    """Share of requests for a patient who has an open ticket: those must fail."""
    paths: tuple[str, ...] = ()
    """Streams to watch."""


@dataclass
class Result:
    """What happened."""

    began: float = 0.0
    ended: float = 0.0
    """In seconds since the epoch, as all times."""
    cpu_seconds: float = 0.0
    """Processor time that this process took in between."""
    done: list[tuple[float, float, str]] = field(default_factory=list)
    """Sent, answered, ticket: of each request that made or called one."""
    empty: list[tuple[float, float]] = field(default_factory=list)
    """Sent, answered: of each QUEUE_EMPTY."""
    refused: dict[str, int] = field(default_factory=dict)
    """Other answers, by status and reason."""
    updates: list[list[tuple[float, str, int]]] = field(default_factory=list)
    """Of each stream: arrival, time of the event and its revision (0 where it has none)."""


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _refusal(status: int, body: bytes) -> str:
    reason = _REASON.search(body)
    return f"{status} {reason[1].decode() if reason else ''}".strip()


def _ticket(body: bytes) -> str:
    found = _ID.search(body)
    return found[1].decode() if found else ""


async def _issue(job: Job, result: Result) -> None:
    """Writers without pause. Every patient gets exactly one ticket, whatever is lost meanwhile."""
    refusals: Counter[str] = Counter()
    left = job.tickets
    present: list[str] = []

    def body(patient: str, priority: str) -> bytes:
        asked = {
            "requestId": str(uuid4()),
            "institutionId": job.institution_id,
            "serviceId": job.service_id,
            "patientId": patient,
            "priority": f"PRIORITY_{priority}",
            **({"priorityReason": "bench"} if priority == "URGENT" else {}),
        }
        return payload("POST", "/queue", job.token, json.dumps(asked).encode())

    async def writer(connection: Connection) -> None:
        nonlocal left
        while left > 0:
            if present and random.random() < job.refused_share:  # noqa: S311
                request = body(random.choice(present), "NORMAL")  # noqa: S311
                refusals[_refusal(*await connection.send(request))] += 1
                continue
            left -= 1
            patient = str(uuid4())
            request = body(patient, random.choices(PRIORITIES, SHARES)[0])  # noqa: S311
            for _ in range(TRIES):
                sent = time.time()
                status, answer = await connection.send(request)
                if status == 200:
                    result.done.append((sent, time.time(), _ticket(answer)))
                    present.append(patient)
                    break
                refusals[_refusal(status, answer)] += 1

    connections = [await Connection.open(job.port) for _ in range(job.writers)]
    result.began, cpu = time.time(), _cpu()
    await asyncio.gather(*map(writer, connections))
    result.ended, result.cpu_seconds = time.time(), _cpu() - cpu
    result.refused = dict(refusals)


async def _call(job: Job, result: Result) -> None:
    """Operators without pause, until the tickets are called; then each finds the queue empty."""
    refusals: Counter[str] = Counter()

    def body(counter: str) -> bytes:
        asked = {
            "requestId": str(uuid4()),
            "institutionId": job.institution_id,
            "serviceId": job.service_id,
            "counterId": counter,
        }
        return payload("POST", "/queue/next", job.token, json.dumps(asked).encode())

    async def once(connection: Connection, counter: str) -> None:
        sent = time.time()
        status, answer = await connection.send(body(counter))
        if status == 200:
            result.done.append((sent, time.time(), _ticket(answer)))
        elif b"QUEUE_EMPTY" in answer:
            result.empty.append((sent, time.time()))
        else:
            refusals[_refusal(status, answer)] += 1

    async def operator(connection: Connection, counter: str) -> None:
        while len(result.done) < job.tickets and time.time() < result.began + LONGEST_SECONDS:
            await once(connection, counter)

    connections = [await Connection.open(job.port) for _ in job.counters]
    seats = list(zip(connections, job.counters, strict=True))
    result.began, cpu = time.time(), _cpu()
    await asyncio.gather(*(operator(*seat) for seat in seats))
    result.ended, result.cpu_seconds = time.time(), _cpu() - cpu
    await asyncio.gather(*(once(*seat) for seat in seats))
    result.refused = dict(refusals)


def _updates(pieces: list[tuple[float, bytes]]) -> list[tuple[float, str, int]]:
    """The messages of a stream behind the first one. Envoy makes one chunk of each."""
    text, ends = b"", []
    for arrived, piece in pieces:
        text += piece
        ends.append((len(text), arrived))
    found = []
    upto = 0
    for message in _MESSAGE.finditer(text):
        while ends[upto][0] < message.end():
            upto += 1
        when, which = _TIME.search(message[0]), _OCCURRED.search(message[0])
        found.append(
            (ends[upto][1], when[1].decode() if when else "", int(which[1]) if which else 0)
        )
    return found[1:]


async def _watch(job: Job, result: Result) -> None:
    """Watchers, until a line comes in. Says when all have their first message."""
    loop = asyncio.get_running_loop()
    opening = asyncio.Semaphore(OPENING)

    async def watcher(path: str) -> Stream:
        request = payload("GET", path, job.token)
        async with opening:
            _, stream = await loop.create_connection(
                lambda: Stream(request, time.time), HOST, job.port
            )
            await stream.begun
        return stream

    streams = await asyncio.gather(*map(watcher, job.paths))
    result.began, cpu = time.time(), _cpu()
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    result.ended, result.cpu_seconds = time.time(), _cpu() - cpu
    for stream in streams:
        assert stream.transport is not None
        stream.transport.close()
    result.updates = [_updates(stream.pieces) for stream in streams]


KINDS: dict[str, Callable[[Job, Result], Any]] = {"issue": _issue, "call": _call, "watch": _watch}


def main() -> None:
    """Does one job."""
    job, result = Job(**json.loads(sys.stdin.readline())), Result()
    uvloop.run(KINDS[job.kind](job, result))
    # An unbuffered sys.stdout drops what one write to the pipe does not take.
    with open(sys.stdout.fileno(), "wb", closefd=False) as output:
        output.write(json.dumps(asdict(result)).encode() + b"\n")


if __name__ == "__main__":
    main()

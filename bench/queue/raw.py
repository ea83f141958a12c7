"""The baseline: what queue_svc writes, as plain code would, with PyMySQL and a commit each.

Nothing else is done: no contract, no encryption, no estimate, no relay of the outbox.
"""

import datetime
import random
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from pymysql.cursors import Cursor, DictCursor

from bench.databases import connect, query
from bench.queue import statements as sql
from bench.queue.client import SHARES
from queue_svc.domain.quantiles import bucket_of
from queue_svc.domain.states import Status, TicketEventType
from queue_svc.domain.tickets import Service
from queue_svc.persistence.mapping import new_queue

DAY = "2026-01-05"
SCOPE = "mediq.queue.v1.CreateTicketRequest/bench"
ANSWER = bytes(420)
EVENT = bytes(260)
TRAIL = bytes(430)
"""As long as the real ones."""


@dataclass(frozen=True)
class Rate:
    """What one round came to."""

    per_second: float
    """Operations that were committed."""
    cpu_seconds: float
    """Processor time of this process for 1,000 of them."""


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def _priority() -> int:
    return random.choices((1, 2, 3, 4), SHARES)[0]  # noqa: S311


class Raw:
    """Plain code on one queue of its own."""

    def __init__(self, database: str) -> None:
        """Makes the queue.

        Args:
            database: Name of a database with the tables of queue_svc.
        """
        self._database = database
        service = Service(
            institution_id=str(uuid4()),
            institution_name="Bench",
            time_zone="Asia/Jakarta",
            service_id=str(uuid4()),
            service_name="Poli Umum",
            prefix="A",
            service_minutes=10,
        )
        self._place = {
            "institution_id": service.institution_id,
            "service_id": service.service_id,
            "day": DAY,
        }
        values = new_queue(service, DAY, _now())
        with closing(connect(database)) as connection, connection.cursor() as cursor:
            cursor.execute(sql.insert("queues", *values), values)
            self._queue_id = int(cursor.lastrowid)
            connection.commit()

    def issue(self, tickets: int, threads: int, rolled_back: float) -> Rate:
        """Issues tickets.

        Args:
            tickets: How many, the ones rolled back included.
            threads: Threads, a connection each.
            rolled_back: Share of transactions that are rolled back.
        """

        def work(cursor: Cursor, _: str) -> bool:
            self._issue(cursor)
            return random.random() >= rolled_back  # noqa: S311

        return self._run(work, tickets, threads)

    def call(self, tickets: int, threads: int) -> Rate:
        """Calls tickets that it puts into the queue before; each thread is a counter."""
        self._fill(tickets)
        return self._run(self._call, tickets, threads)

    def _run(self, work: Callable[[Cursor, str], bool], operations: int, threads: int) -> Rate:
        left, committed = iter(range(operations)), [0] * threads
        ready = threading.Barrier(threads + 1)

        def thread(number: int) -> None:
            counter = str(uuid4())
            with closing(connect(self._database)) as connection:
                cursor = connection.cursor(DictCursor)
                ready.wait()
                # The next of a shared range is one step of the interpreter.
                for _ in left:
                    if work(cursor, counter):
                        connection.commit()
                        committed[number] += 1
                    else:
                        connection.rollback()

        running = [threading.Thread(target=thread, args=(number,)) for number in range(threads)]
        for one in running:
            one.start()
        ready.wait()
        began, cpu = time.monotonic(), time.process_time()
        for one in running:
            one.join()
        seconds, cpu = time.monotonic() - began, time.process_time() - cpu
        return Rate(sum(committed) / seconds, cpu * 1000 / sum(committed))

    def _begin(self, cursor: Cursor) -> tuple[dict[str, Any], dict[str, Any]]:
        """Looks for an old answer, locks the queue: the request's key and the queue's row."""
        key: dict[str, Any] = {"scope": SCOPE, "request_id": str(uuid4())}
        cursor.execute(sql.FIND_ANSWER, key)
        cursor.fetchall()
        cursor.execute(sql.FIND_QUEUE, self._place)
        (found,) = cursor.fetchall()
        cursor.execute(sql.LOCK_QUEUE, {"queue_id": found["id"]})
        (queue,) = cursor.fetchall()
        return key, queue

    def _issue(self, cursor: Cursor) -> None:
        key, queue = self._begin(cursor)
        ticket = _new(queue["id"], queue["last_number"] + 1)
        cursor.execute(sql.FIND_OPEN_TICKET, ticket)
        assert not cursor.fetchall()
        cursor.execute(sql.INSERT_TICKET, ticket)
        self._append_to_change_log(cursor, queue, ticket, TicketEventType.ISSUED, +1)
        cursor.execute(sql.ADD_TO_ROLLUP, _rollup(ticket, issued=1))
        cursor.execute(sql.UPDATE_QUEUE_ISSUED, ticket)
        self._end(cursor, key, ticket)

    def _call(self, cursor: Cursor, counter: str) -> bool:
        key, queue = self._begin(cursor)
        cursor.execute(sql.SELECT_HEADS, {"queue_id": queue["id"]})
        heads = cursor.fetchall()
        now, rates = _now(), {1: 1.0, 2: 2.0, 3: 4.0, 4: 1e9}
        head = max(heads, key=lambda one: rates[one["priority"]] * (now - one["queue_time"]))
        wait_ms = round((now - head["create_time"]).total_seconds() * 1000)
        ticket = {
            **head,
            "ticket_id": head["id"],
            "before": head["version"],
            "version": head["version"] + 1,
            "status": int(Status.CALLED),
            "time": now,
            "wait_ms": wait_ms,
            "counter_id": counter,
            "counter_name": "Loket 1",
        }
        assert cursor.execute(sql.UPDATE_TICKET_CALLED, ticket) == 1
        self._append_to_change_log(cursor, queue, ticket, TicketEventType.CALLED, -1)
        cursor.execute(
            sql.ADD_TO_ROLLUP, _rollup(ticket, called=1, wait_ms=wait_ms, within_standard=1)
        )
        samples = [
            {**ticket, "hour": 8, "sample": sample, "bucket": bucket_of(wait_ms), "count": 1}
            for sample in (1, 3)
        ]
        cursor.executemany(sql.ADD_SAMPLE, samples)
        cursor.execute(sql.UPDATE_QUEUE_CALLED, ticket)
        self._end(cursor, key, ticket)
        return True

    def _append_to_change_log(
        self,
        cursor: Cursor,
        queue: dict[str, Any],
        ticket: dict[str, Any],
        act: TicketEventType,
        waiting: int,
    ) -> None:
        ticket["revision"] = queue["revision"] + 1
        ticket["waiting"] = queue["waiting"] + waiting
        cursor.execute(
            sql.INSERT_CHANGE, {**ticket, "act": int(act), "actor": ticket["patient_id"]}
        )

    def _end(self, cursor: Cursor, key: dict[str, Any], ticket: dict[str, Any]) -> None:
        event = {"event_id": str(uuid4()), "topic": "a.b.issued", "payload": EVENT}
        cursor.execute(sql.INSERT_EVENT, {**event, "create_time": ticket["time"]})
        trail = {"event_id": str(uuid4()), "topic": "a.b.issued", "payload": TRAIL}
        cursor.execute(sql.INSERT_AUDIT, {**trail, "create_time": ticket["time"]})
        answer = {"fingerprint": "0" * 64, "answer": ANSWER, "create_time": ticket["time"]}
        cursor.execute(sql.INSERT_ANSWER, {**key, **answer})

    def _fill(self, tickets: int) -> None:
        first = query(
            self._database, "SELECT last_number FROM queues WHERE id = %s", self._queue_id
        )
        numbers = range(first[0][0] + 1, first[0][0] + 1 + tickets)
        with closing(connect(self._database)) as connection, connection.cursor() as cursor:
            cursor.executemany(
                sql.INSERT_TICKET, [_new(self._queue_id, number) for number in numbers]
            )
            cursor.execute(
                "UPDATE queues SET last_number = %s, waiting = waiting + %s WHERE id = %s",
                (numbers[-1], tickets, self._queue_id),
            )
            connection.commit()


def _new(queue_id: int, sequence: int) -> dict[str, Any]:
    now, identifier, patient = _now(), str(uuid4()), str(uuid4())
    return {
        "id": identifier,
        "ticket_id": identifier,
        "journey_id": identifier,
        "queue_id": queue_id,
        "sequence": sequence,
        "number": f"A-{sequence:03}",
        "patient_id": patient,
        "open_patient_id": patient,
        "priority": _priority(),
        "ground": 5,
        "status": int(Status.WAITING),
        "version": 1,
        "calls": 0,
        "time": now,
        "queue_time": now,
        "create_time": now,
        "update_time": now,
        "arrive_time": now,
        "predicted_ms": 600_000,
        "predicted_high_ms": 1_200_000,
        "counter_id": None,
        "counter_name": None,
    }


def _rollup(ticket: dict[str, Any], **counts: int) -> dict[str, Any]:
    return {
        **dict.fromkeys(sql.COUNTS, 0),
        **counts,
        "queue_id": ticket["queue_id"],
        "hour": 8,
        "priority": ticket["priority"],
        "counter_id": ticket["counter_id"] or "",
        "counter_name": ticket["counter_name"] or "",
    }

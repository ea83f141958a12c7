"""Whether a long queue is slower than a short one."""

import statistics
import time
from collections import defaultdict
from typing import Any
from uuid import uuid4

from bench.queue.live import WARM, Request, calling, run
from bench.queue.stack import Place, Stack
from bench.table import Row

SHORT = 100
RATIO = 1.5
"""How much slower a long queue may be."""


def sizes(stack: Stack, long: Place, waiting: int, wanted: int, repeats: int) -> list[Row]:
    """Latencies at a long and at a short queue, in turns. A ticket joins for each one called.

    Args:
        stack: The servers.
        long: A place where tickets wait.
        waiting: How many.
        wanted: How many must wait.
        repeats: How often each is asked.
    """
    short = stack.place()
    stack.issue(short, SHORT)
    if wanted > waiting:
        stack.issue(long, wanted - waiting)
    times: dict[tuple[str, Place], list[float]] = defaultdict(list)

    async def work(request: Request) -> None:
        async def timed(name: str, place: Place, *asked: Any) -> dict[str, Any]:
            began = time.perf_counter()
            answer = await request(*asked)
            times[name, place].append(1000 * (time.perf_counter() - began))
            return answer

        for _ in range(WARM + repeats):
            for place in (long, short):
                await timed("call", place, "POST", "/queue/next", calling(place))
                # The call has made the copy of the numbers old.
                stats = f"/queue/stats?institution_id={place.institution_id}"
                await timed("stats", place, "GET", stats, {})
                made = await timed("join", place, "POST", "/queue", _joining(place))
                await timed("position", place, "GET", f"/queue/{made['id']}/position", {})

    run(stack, work)
    rows = []
    for name, what, goal in (
        ("call", "call-next", RATIO),
        ("stats", "GetQueueStats", RATIO),
        ("join", "CreateTicket", None),
        ("position", "GetTicketPosition", None),
    ):
        slow, fast = (statistics.median(times[name, one][WARM:]) for one in (long, short))
        note = f"{slow:.2f} against {fast:.2f} ms"
        label = f"{what}, {max(wanted, waiting):,} waiting / {SHORT}"
        rows.append(Row(label, slow / fast, "x", goal, False, note))
    return rows


def _joining(place: Place) -> dict[str, Any]:
    return {
        "requestId": str(uuid4()),
        "institutionId": place.institution_id,
        "serviceId": place.service_id,
        "patientId": str(uuid4()),
    }

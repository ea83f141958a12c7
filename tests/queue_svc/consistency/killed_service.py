"""The queue service, which kills itself in the middle of a change: just before a statement.

The first statement of a change looks for an answer that was given before. From there on the
statements of its thread count, the commit, and the return of the connection to its pool; after
that those of all threads. MEDIQ_TEST_KILL_AT says which one is not reached.
"""

import json
import os
import signal
import sys
import threading

from sqlalchemy import Engine, event
from sqlalchemy.pool import Pool

from mesh.rpc.server import run
from queue_svc.__main__ import build
from queue_svc.settings import QueueSettings

KILL_AT = "MEDIQ_TEST_KILL_AT"
FIRST = "FROM idempotency"
"""What the first statement of a change has in it, which is a query: old answers are deleted."""


class Countdown:
    """Counts steps."""

    def __init__(self, kill_at: int) -> None:
        """Kills before the step of this number; the first one is 1."""
        self._left = kill_at
        self._thread: int | None = None
        self._committed = False
        self._lock = threading.Lock()

    def statement(self, _c: object, _u: object, statement: str, *_: object) -> None:
        """Before a statement."""
        first = FIRST in statement and not statement.startswith("DELETE")
        if self._thread is None and first:
            self._thread = threading.get_ident()
        self._count()

    def commit(self, _: object) -> None:
        """Before a commit."""
        self._count()

    def returned(self, _c: object, _r: object) -> None:
        """After a connection was used."""
        self._count()
        self._committed = self._committed or threading.get_ident() == self._thread

    def _count(self) -> None:
        with self._lock:
            own = threading.get_ident() == self._thread
            if self._thread is not None and (own or self._committed):
                self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def serve(environment: dict[str, str]) -> None:
    """Runs the service, in a process that is a copy of this one."""
    os.environ.update(environment)
    countdown = Countdown(int(environment[KILL_AT]))
    event.listen(Engine, "before_cursor_execute", countdown.statement)
    event.listen(Engine, "commit", countdown.commit)
    # After a commit its connection goes back: the change is there, and the answer is not.
    event.listen(Pool, "checkin", countdown.returned)
    run(QueueSettings(), build)


if __name__ == "__main__":
    # One line a service: its environment. Everything is imported once, so that a start is quick.
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            serve(json.loads(line))
            os._exit(0)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)

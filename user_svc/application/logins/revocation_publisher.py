"""Publishes which tokens ended early, so that every service refuses them.

What ended is read from the sessions and accounts themselves, so nothing is lost when the service
stops between a commit and its publication, and it does not matter who wrote the end: a replica, or
a command beside the service.
"""

import datetime

from mesh.background import run_periodically
from mesh.clock import Clock
from mesh.identity.revocations import Revocations
from mesh.persistence.database import Database
from user_svc.persistence.logins.ended_sessions import TOKEN_LIFE, ended_since

POLL_SECONDS = 1.0
"""How often the database is read. With the second until other services read what was published,
and the work itself, an end counts everywhere well within five seconds."""
OVERLAP = datetime.timedelta(minutes=5)
"""Ends that were read are read again for this time: a transaction's end is seen when it commits,
which may be after the time that it wrote. Clocks of replicas differ too."""


class RevocationPublisher:
    """Publishes what ends."""

    def __init__(self, database: Database, revocations: Revocations, clock: Clock) -> None:
        """Starts with nothing published.

        Args:
            database: The service's database.
            revocations: Where to publish.
            clock: Gives the time.
        """
        self._database = database
        self._revocations = revocations
        self._clock = clock
        self._since = clock() - TOKEN_LIFE

    async def run(self) -> None:
        """Publishes all that ended in the last token life, then what ends, for ever.

        Raises:
            MeshError: The database does not answer. Run it again: then everything is read again.
        """
        self._since = self._clock() - TOKEN_LIFE
        await run_periodically(self._publish, POLL_SECONDS)

    async def _publish(self) -> None:
        now, since = self._clock(), self._since
        ended = await self._database.read(lambda session: ended_since(session, since, now))
        await self._revocations.publish(ended)
        self._since = now - OVERLAP

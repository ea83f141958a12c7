"""Tells every service which tokens ended early.

What ended is read from the sessions and accounts themselves, so nothing is lost when the service
stops between a commit and the telling, and it does not matter who wrote the end: a replica, or a
command beside the service.
"""

import asyncio
import datetime

from sqlalchemy.orm import Session

from mesh.clock import utc_now
from mesh.identity.revocations import Revocation, Revocations
from mesh.persistence.database import Database
from user_svc.persistence import session_queries

LOOK_SECONDS = 1.0
"""How often the database is looked at. With the second until other services read what was told,
and the work itself, an end counts everywhere well within five seconds."""
OVERLAP = datetime.timedelta(minutes=5)
"""Ends that were looked at are looked at again for this time: a transaction's end is seen when it
commits, which may be after the time that it wrote. Clocks of replicas differ too."""


async def keep_telling(database: Database, revocations: Revocations) -> None:
    """Publishes all that ended in the last token life, then what ends, for ever.

    Args:
        database: The service's database.
        revocations: Where to publish.

    Raises:
        MeshError: The database does not answer. Begin again: then everything is read anew.
    """
    since = utc_now() - session_queries.TOKEN_LIFE
    while True:
        now = utc_now()

        def ended(
            session: Session, since: datetime.datetime = since, now: datetime.datetime = now
        ) -> list[Revocation]:
            return session_queries.ended_since(session, since, now)

        await revocations.publish(await database.read(ended))
        since = now - OVERLAP
        await asyncio.sleep(LOOK_SECONDS)

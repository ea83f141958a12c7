"""What of the account service's work is in its trail."""

from __future__ import annotations

from mediq.audit.v1.audit_pb2 import AuditEvent
from sqlalchemy import select

from mesh.persistence.database import Database
from tests.support.waiting import eventually
from tests.user_svc.conftest import World
from user_svc.audit.chain import AuditChain
from user_svc.persistence.audit_models import AUDIT_ENTRIES


async def events_of(world: World, method: str, count: int = 1) -> list[AuditEvent]:
    """Returns the events of a method in the trail itself, once there are so many.

    Raises:
        AssertionError: They do not come.
    """
    chain = AuditChain.load(world.settings.keys, world.settings.service)
    database = Database(world.settings.database, 1)
    query = select(AUDIT_ENTRIES).order_by(AUDIT_ENTRIES.c.position)

    async def found() -> list[AuditEvent]:
        rows = await database.read(lambda session: session.execute(query).all())
        events = [chain.entry(row).event for row in rows]
        chosen = [one for one in events if one.method == method]
        return chosen if len(chosen) >= count else []

    try:
        return await eventually(found)
    finally:
        await database.close()

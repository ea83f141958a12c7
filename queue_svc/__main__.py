"""Starts the queue service."""

from mediq.queue.v1.queue_service_pb2_grpc import add_QueueServiceServicer_to_server
from sqlalchemy.orm import Session

from mesh.cache import make_cache
from mesh.client import Channels
from mesh.crypto import FieldCipher
from mesh.database import open_database
from mesh.events import EventBus, LocalBus
from mesh.idempotency import Idempotency
from mesh.outbox import Outbox
from mesh.server import Server, run
from mesh.times import utc_now
from queue_svc.clients import Facilities
from queue_svc.domain.days import Clock
from queue_svc.domain.tickets import Reach
from queue_svc.live import Live
from queue_svc.servicer import QueueServicer
from queue_svc.settings import QueueSettings
from queue_svc.store import IDEMPOTENCY, OUTBOX, Tickets


async def build(server: Server) -> None:
    """Wires the service."""
    channels = Channels(server.settings.tls, server.settings.service)
    wire(server, channels, LocalBus(), utc_now)


def wire(server: Server, channels: Channels, bus: EventBus, clock: Clock) -> None:
    """Wires the service with its surroundings.

    Args:
        server: The server to fill; its settings are QueueSettings.
        channels: Channels to other services.
        bus: Takes and gives events.
        clock: Gives the time.
    """
    settings = server.settings
    assert isinstance(settings, QueueSettings)
    rules = settings.rules
    database = open_database(server)
    cipher = FieldCipher.load(settings.keys, settings.service)
    cache = make_cache(settings.redis_url, f"{settings.service}/")
    outbox = Outbox(OUTBOX, database, bus)

    def tickets(session: Session, reach: Reach) -> Tickets:
        return Tickets(session, reach, rules, cipher)

    servicer = QueueServicer(
        database,
        Idempotency(IDEMPOTENCY, cipher, database),
        outbox,
        tickets,
        Facilities(channels, cache, settings.facts_seconds),
        Live(database, tickets, bus, server.draining, clock, settings.heartbeat_seconds),
        rules,
        clock,
    )
    server.add(add_QueueServiceServicer_to_server, servicer)
    server.background(outbox.relay)
    server.on_close(channels.close)
    server.on_close(cache.close)


if __name__ == "__main__":
    run(QueueSettings(), build)

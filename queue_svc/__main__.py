"""Starts the queue service."""

from functools import partial

from mediq.queue.v1.live_service_pb2_grpc import add_LiveServiceServicer_to_server
from mediq.queue.v1.report_service_pb2_grpc import add_ReportServiceServicer_to_server
from mediq.queue.v1.ticket_service_pb2_grpc import add_TicketServiceServicer_to_server

from mesh.backends import make_bus, make_cache
from mesh.clock import Clock, utc_now
from mesh.encryption.field_cipher import FieldCipher
from mesh.encryption.reencryption import Reencryptor
from mesh.idempotency import Idempotency
from mesh.messaging.events import EventBus
from mesh.persistence.outbox import Outbox
from mesh.rpc.audit_lifecycle import open_audit_recorder, to_user_svc
from mesh.rpc.client import Channels
from mesh.rpc.database_lifecycle import open_database
from mesh.rpc.server import Server, run
from queue_svc.adapters.facilities import Facilities
from queue_svc.application.boards import Boards
from queue_svc.application.facility_directory import FacilityDirectory
from queue_svc.application.group_commit import GroupCommit
from queue_svc.application.patient_rights import PatientRights
from queue_svc.application.reports import Reports
from queue_svc.application.ticket_commands import TicketCommandHandler
from queue_svc.application.ticket_reads import TicketReads
from queue_svc.application.unit_of_work import UnitsOfWork
from queue_svc.messages.routing_keys import FEED
from queue_svc.persistence.encrypted_columns import ENCRYPTED_COLUMNS
from queue_svc.persistence.models import AUDIT, IDEMPOTENCY, OUTBOX
from queue_svc.persistence.waiting_lists import WaitingListProjection
from queue_svc.servicers.dependencies import Dependencies, EventTail
from queue_svc.servicers.live import LiveServicer
from queue_svc.servicers.reports import ReportServicer
from queue_svc.servicers.tickets import TicketServicer
from queue_svc.settings import QueueSettings
from queue_svc.streaming.change_feed import ChangeFeed
from queue_svc.streaming.event_tail import tail_events
from queue_svc.streaming.stream_service import StreamService


async def build(server: Server) -> None:
    """Wires the service."""
    settings = server.settings
    assert isinstance(settings, QueueSettings)
    bus = make_bus(settings.amqp_url, FEED, server.meter)
    server.on_close(bus.close)
    wire(server, Channels(settings.tls, settings.service), bus, utc_now)


def wire(server: Server, channels: Channels, bus: EventBus, clock: Clock) -> Dependencies:
    """Wires the service with its surroundings.

    Args:
        server: The server to fill; its settings are QueueSettings.
        channels: Channels to other services.
        bus: Takes and gives events.
        clock: Gives the time.

    Returns:
        What the servicer works with.
    """
    settings = server.settings
    assert isinstance(settings, QueueSettings)
    server.on_close(channels.close)
    rules = settings.rules
    database = open_database(server)
    cipher = FieldCipher.load(settings.keys, settings.service)
    cache = make_cache(settings.redis_url, f"{settings.service}/", cipher)
    server.on_close(cache.close)
    outbox = Outbox(OUTBOX, database, bus, clock, server.meter)
    waiting_lists = WaitingListProjection(rules)
    units = UnitsOfWork(database, rules, cipher, waiting_lists)
    feed = ChangeFeed(units, bus, cache)
    heartbeat = settings.heartbeat_seconds
    recorder = open_audit_recorder(server, AUDIT, database, cipher, to_user_svc(channels), clock)
    idempotency = Idempotency(IDEMPOTENCY, cipher, database, recorder, clock)
    facilities = Facilities(channels, cache, settings.facts_seconds)
    directory = FacilityDirectory(facilities, rules, clock)
    commits = GroupCommit(
        units, idempotency, outbox, recorder, waiting_lists, cache, feed.publish_local
    )
    cache_seconds = settings.copy_seconds
    dependencies = Dependencies(
        commands=TicketCommandHandler(commits, units, facilities, clock),
        tickets=TicketReads(
            units, directory, cache, clock, cache_seconds, fhir_export=settings.fhir_export
        ),
        patients=PatientRights(units, idempotency, cache, clock),
        boards=Boards(units, directory, cache, clock, cache_seconds),
        reports=Reports(units, directory, cache, clock, cache_seconds),
        directory=directory,
        streams=StreamService(units, feed, server.draining, clock, server.clock, heartbeat),
        tail_events=_event_tail(server, bus, clock),
    )
    _add_servicers(server, dependencies)
    reencryptor = Reencryptor(ENCRYPTED_COLUMNS, cipher, database)
    for work in (outbox.relay, feed.run, idempotency.keep_forgetting, reencryptor.run):
        server.add_background_task(work)
    return dependencies


def _event_tail(server: Server, bus: EventBus, clock: Clock) -> EventTail:
    """Returns what follows the events for as long as the server runs."""
    settings = server.settings
    assert isinstance(settings, QueueSettings)
    return partial(
        tail_events,
        bus,
        draining=server.draining,
        clock=clock,
        heartbeat_seconds=settings.heartbeat_seconds,
    )


def _add_servicers(server: Server, dependencies: Dependencies) -> None:
    server.add(add_TicketServiceServicer_to_server, TicketServicer(dependencies))
    server.add(add_LiveServiceServicer_to_server, LiveServicer(dependencies))
    server.add(add_ReportServiceServicer_to_server, ReportServicer(dependencies))


if __name__ == "__main__":
    run(QueueSettings(), build)

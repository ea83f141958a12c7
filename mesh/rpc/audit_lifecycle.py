"""Opens the recorder of one service's audit trail."""

from collections.abc import Sequence

from mediq.audit.v1.audit_pb2 import AuditEvent
from mediq.audit.v1.audit_service_pb2 import AppendAuditEventsRequest
from mediq.audit.v1.audit_service_pb2_grpc import AuditServiceStub
from sqlalchemy import Table

from mesh.audit_trail.recorder import AuditRecorder, Send
from mesh.clock import Clock
from mesh.encryption.field_cipher import FieldCipher
from mesh.persistence.database import Database
from mesh.rpc.client import Channels
from mesh.rpc.server import Server

__all__ = [
    "open_audit_recorder",
    "to_user_svc",
]


def open_audit_recorder(
    server: Server, table: Table, database: Database, cipher: FieldCipher, send: Send, clock: Clock
) -> AuditRecorder:
    """Opens the recorder of a server, and relays what it writes.

    Args:
        server: The server.
        table: See `audit_table`.
        database: The service's database.
        cipher: Encrypts events.
        send: Takes them into the trail.
        clock: Dates the events.
    """
    recorder = AuditRecorder(table, database, cipher, send, clock, server.meter)
    server.pipeline.audit_recorder = recorder
    server.add_background_task(recorder.relay)
    return recorder


def to_user_svc(channels: Channels) -> Send:
    """Sends events to the service that keeps the trail."""
    stub = AuditServiceStub(channels.to("user_svc"))

    async def send(events: Sequence[AuditEvent]) -> None:
        await stub.AppendAuditEvents(AppendAuditEventsRequest(events=events))

    return send

"""Opens the way of one service into the audit trail."""

from collections.abc import Sequence

from mediq.audit.v1.audit_pb2 import AuditEvent
from mediq.audit.v1.audit_service_pb2 import AppendAuditEventsRequest
from mediq.audit.v1.audit_service_pb2_grpc import AuditServiceStub
from sqlalchemy import Table

from mesh.audit_trail.recorder import AuditRecorder, Send
from mesh.encryption.field_cipher import FieldCipher
from mesh.persistence.database import Database
from mesh.rpc.client import Channels
from mesh.rpc.server import Server


def open_audit_recorder(
    server: Server, table: Table, database: Database, cipher: FieldCipher, send: Send
) -> AuditRecorder:
    """The trail of a server: what its calls show is written down, and taken along from there.

    Args:
        server: The server.
        table: See `audit_table`.
        database: The service's database.
        cipher: Encrypts events.
        send: Takes them into the trail.
    """
    trail = AuditRecorder(table, database, cipher, send, server.meter)
    server.pipeline.audit_recorder = trail
    server.add_background_task(trail.relay)
    return trail


def to_user_svc(channels: Channels) -> Send:
    """Sends events to the service that keeps the trail."""
    stub = AuditServiceStub(channels.to("user_svc"))

    async def send(events: Sequence[AuditEvent]) -> None:
        await stub.AppendAuditEvents(AppendAuditEventsRequest(events=events))

    return send

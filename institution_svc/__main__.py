"""Starts the facility service."""

from mediq.institution.v1.institution_service_pb2_grpc import (
    add_InstitutionServiceServicer_to_server,
)

from institution_svc.application.unit_of_work import UnitsOfWork
from institution_svc.persistence.encrypted_columns import ENCRYPTED_COLUMNS
from institution_svc.persistence.models import AUDIT, IDEMPOTENCY
from institution_svc.servicers.facilities import InstitutionServicer
from institution_svc.settings import InstitutionSettings
from mesh.clock import Clock, utc_now
from mesh.encryption.field_cipher import FieldCipher
from mesh.encryption.reencryption import Reencryptor
from mesh.idempotency import Idempotency
from mesh.rpc.audit_lifecycle import open_audit_recorder, to_user_svc
from mesh.rpc.client import Channels
from mesh.rpc.database_lifecycle import open_database
from mesh.rpc.server import Server, run


async def build(server: Server) -> None:
    """Wires the service."""
    wire(server, Channels(server.settings.tls, server.settings.service), utc_now)


def wire(server: Server, channels: Channels, clock: Clock) -> None:
    """Wires the service with its surroundings.

    Args:
        server: The server to fill.
        channels: Channels to other services.
        clock: Gives the time.
    """
    settings = server.settings
    server.on_close(channels.close)
    database = open_database(server)
    cipher = FieldCipher.load(settings.keys, settings.service)
    recorder = open_audit_recorder(server, AUDIT, database, cipher, to_user_svc(channels), clock)
    idempotency = Idempotency(IDEMPOTENCY, cipher, database, recorder, clock)
    servicer = InstitutionServicer(UnitsOfWork(database, idempotency, clock))
    server.add(add_InstitutionServiceServicer_to_server, servicer)
    server.add_background_task(idempotency.keep_forgetting)
    server.add_background_task(Reencryptor(ENCRYPTED_COLUMNS, cipher, database).run)


if __name__ == "__main__":
    run(InstitutionSettings(), build)

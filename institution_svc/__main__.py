"""Starts the facility service."""

from mediq.institution.v1.institution_service_pb2_grpc import (
    add_InstitutionServiceServicer_to_server,
)

from institution_svc.sealed import SEALED
from institution_svc.servicer import InstitutionServicer
from institution_svc.settings import InstitutionSettings
from institution_svc.store import IDEMPOTENCY
from mesh.crypto import FieldCipher
from mesh.database import open_database
from mesh.idempotency import Idempotency
from mesh.reseal import Resealer
from mesh.server import Server, run


async def build(server: Server) -> None:
    """Wires the service."""
    settings = server.settings
    database = open_database(server)
    cipher = FieldCipher.load(settings.keys, settings.service)
    idempotency = Idempotency(IDEMPOTENCY, cipher, database)
    servicer = InstitutionServicer(database, idempotency)
    server.add(add_InstitutionServiceServicer_to_server, servicer)
    server.background(idempotency.keep_forgetting)
    server.background(Resealer(SEALED, cipher, database).run)


if __name__ == "__main__":
    run(InstitutionSettings(), build)

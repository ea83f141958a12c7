"""Starts the registration service."""

import asyncio

from mediq.ocr.v1.registration_service_pb2_grpc import add_RegistrationServiceServicer_to_server

from mesh.client import Channels
from mesh.crypto import FieldCipher
from mesh.database import open_database
from mesh.reseal import Resealer
from mesh.server import Server, run
from ocr_svc.clients import Accounts, CardReader, Facilities, Queue
from ocr_svc.saga import Saga
from ocr_svc.sealed import SEALED
from ocr_svc.servicer import RegistrationServicer, now
from ocr_svc.settings import OcrSettings
from ocr_svc.store import Repository


async def build(server: Server) -> None:
    """Wires the service."""
    settings = server.settings
    assert isinstance(settings, OcrSettings)
    database = open_database(server)
    channels = Channels(settings.tls, settings.service)
    server.on_close(channels.close)
    cipher = FieldCipher.load(settings.keys, settings.service)
    repository = Repository(cipher)
    accounts = Accounts(channels)
    saga = Saga(settings, database, repository, accounts, Queue(channels), now)
    server.on_close(saga.close)
    server.background(saga.work)

    async def erase_ended_drafts() -> None:
        while True:
            await database.write(lambda session: repository.erase_ended(session, now()))
            await asyncio.sleep(settings.purge_seconds)

    server.background(erase_ended_drafts)
    server.background(Resealer(SEALED, cipher, database).run)
    servicer = RegistrationServicer(
        settings,
        database,
        repository,
        CardReader(channels),
        accounts,
        Facilities(channels),
        saga,
    )
    server.add(add_RegistrationServiceServicer_to_server, servicer)


if __name__ == "__main__":
    run(OcrSettings(), build)

"""Starts the registration service."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from mediq.ocr.v1.data_rights_service_pb2_grpc import add_DataRightsServiceServicer_to_server
from mediq.ocr.v1.registration_service_pb2_grpc import add_RegistrationServiceServicer_to_server

from mesh.clock import utc_now
from mesh.encryption.field_cipher import FieldCipher
from mesh.encryption.reencryption import Reencryptor
from mesh.rpc.audit_lifecycle import open_audit_recorder, to_user_svc
from mesh.rpc.client import Channels
from mesh.rpc.database_lifecycle import open_database
from mesh.rpc.server import Server, run
from ocr_svc.adapters.clients import Accounts, CardReader, Facilities, Queue
from ocr_svc.domain.consent import CONSENTS, Consent
from ocr_svc.persistence.encrypted_columns import ENCRYPTED_COLUMNS
from ocr_svc.persistence.erasures import Erasures
from ocr_svc.persistence.registrations import AUDIT, Repository
from ocr_svc.servicers.data_rights import DataRightsServicer
from ocr_svc.servicers.registration import RegistrationServicer
from ocr_svc.settings import OcrSettings
from ocr_svc.workflows.erasure import ErasureSaga
from ocr_svc.workflows.registration import Saga


async def build(server: Server) -> None:
    """Wires the service."""
    wire(server, utc_now)


def wire(
    server: Server, clock: Callable[[], datetime], consents: Sequence[Consent] = CONSENTS
) -> None:
    """Wires the service with its surroundings.

    Args:
        server: The server to fill; its settings are OcrSettings.
        clock: Gives the time.
        consents: Versions of the text that is agreed to, oldest first.
    """
    settings = server.settings
    assert isinstance(settings, OcrSettings)
    database = open_database(server)
    channels = Channels(settings.tls, settings.service)
    server.on_close(channels.close)
    cipher = FieldCipher.load(settings.keys, settings.service)
    trail = open_audit_recorder(server, AUDIT, database, cipher, to_user_svc(channels))
    repository = Repository(cipher)
    erasures = Erasures(cipher, repository)
    accounts, queue = Accounts(channels), Queue(channels)
    saga = Saga(settings, database, repository, erasures, accounts, queue, clock)
    server.on_close(saga.close)
    server.add_background_task(saga.work)
    erasing = ErasureSaga(settings, database, erasures, accounts, queue, clock)
    server.on_close(erasing.close)
    server.add_background_task(erasing.work)
    server.add_background_task(erasing.keep_waking)

    async def erase_ended_drafts() -> None:
        while True:
            await database.write(lambda session: repository.erase_ended(session, clock()))
            await asyncio.sleep(settings.purge_seconds)

    server.add_background_task(erase_ended_drafts)
    server.add_background_task(Reencryptor(ENCRYPTED_COLUMNS, cipher, database).run)
    servicer = RegistrationServicer(
        settings,
        database,
        trail,
        repository,
        CardReader(channels),
        accounts,
        Facilities(channels),
        saga,
        clock,
        consents,
    )
    server.add(add_RegistrationServiceServicer_to_server, servicer)
    rights = DataRightsServicer(
        settings, database, trail, erasures, accounts, queue, erasing, clock
    )
    server.add(add_DataRightsServiceServicer_to_server, rights)


if __name__ == "__main__":
    run(OcrSettings(), build)

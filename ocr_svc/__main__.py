"""Starts the registration service."""

from collections.abc import Sequence
from functools import partial

from mediq.ocr.v1.data_rights_service_pb2_grpc import add_DataRightsServiceServicer_to_server
from mediq.ocr.v1.registration_service_pb2_grpc import add_RegistrationServiceServicer_to_server

from mesh.background import run_periodically
from mesh.clock import Clock, utc_now
from mesh.encryption.field_cipher import FieldCipher
from mesh.encryption.reencryption import Reencryptor
from mesh.persistence.database import Database
from mesh.rpc.audit_lifecycle import open_audit_recorder, to_user_svc
from mesh.rpc.client import Channels
from mesh.rpc.database_lifecycle import open_database
from mesh.rpc.server import Server, run
from ocr_svc.adapters.accounts import Accounts
from ocr_svc.adapters.card_reader import CardReader
from ocr_svc.adapters.facilities import Facilities
from ocr_svc.adapters.queue import Queue
from ocr_svc.application.confirm_registration import ConfirmationHandler
from ocr_svc.application.drafts import DraftHandler
from ocr_svc.application.erasure_workflow import ErasureWorkflow
from ocr_svc.application.export_personal_data import PersonalDataExport
from ocr_svc.application.registration_reads import RegistrationReads
from ocr_svc.application.registration_workflow import RegistrationWorkflow
from ocr_svc.application.request_erasure import ErasureHandler
from ocr_svc.application.unit_of_work import UnitsOfWork
from ocr_svc.application.upload_document import UploadHandler
from ocr_svc.domain.consent import CONSENTS, Consent
from ocr_svc.persistence.encrypted_columns import ENCRYPTED_COLUMNS
from ocr_svc.persistence.models import AUDIT
from ocr_svc.servicers.data_rights import DataRightsServicer
from ocr_svc.servicers.dependencies import Dependencies
from ocr_svc.servicers.registration import RegistrationServicer
from ocr_svc.settings import OcrSettings


async def build(server: Server) -> None:
    """Wires the service."""
    wire(server, Channels(server.settings.tls, server.settings.service), utc_now)


def wire(
    server: Server, channels: Channels, clock: Clock, consents: Sequence[Consent] = CONSENTS
) -> None:
    """Wires the service with its surroundings.

    Args:
        server: The server to fill; its settings are OcrSettings.
        channels: Channels to other services.
        clock: Gives the time.
        consents: Versions of the text that is agreed to, oldest first.
    """
    settings = server.settings
    assert isinstance(settings, OcrSettings)
    server.on_close(channels.close)
    database = open_database(server)
    cipher = FieldCipher.load(settings.keys, settings.service)
    recorder = open_audit_recorder(server, AUDIT, database, cipher, to_user_svc(channels), clock)
    units = UnitsOfWork(database, cipher, recorder)
    accounts, queue, reader = Accounts(channels), Queue(channels), CardReader(channels)
    registering, erasing = _workflows(server, database, units, accounts, queue, clock)
    lease_seconds = settings.lease_seconds
    registrations = RegistrationReads(units, accounts)
    facilities = Facilities(channels)
    dependencies = Dependencies(
        uploads=UploadHandler(units, reader, accounts, clock, settings.draft_minutes),
        drafts=DraftHandler(units, reader, clock),
        confirmations=ConfirmationHandler(
            units, facilities, registering, registrations, clock, consents, lease_seconds
        ),
        registrations=registrations,
        exports=PersonalDataExport(units, accounts, queue, clock),
        erasures=ErasureHandler(
            units,
            accounts,
            queue,
            erasing,
            clock,
            lease_seconds=lease_seconds,
            retention_days=settings.retention_days,
        ),
        consents=consents,
    )
    server.add(add_RegistrationServiceServicer_to_server, RegistrationServicer(dependencies))
    server.add(add_DataRightsServiceServicer_to_server, DataRightsServicer(dependencies))
    for work in (erasing.wake_retained, dependencies.drafts.erase_ended):
        server.add_background_task(partial(run_periodically, work, settings.purge_seconds))
    server.add_background_task(Reencryptor(ENCRYPTED_COLUMNS, cipher, database).run)


def _workflows(
    server: Server,
    database: Database,
    units: UnitsOfWork,
    accounts: Accounts,
    queue: Queue,
    clock: Clock,
) -> tuple[RegistrationWorkflow, ErasureWorkflow]:
    """Makes the workflows, which run as long as the server."""
    settings = server.settings
    assert isinstance(settings, OcrSettings)
    registering = RegistrationWorkflow(
        database,
        units,
        accounts,
        queue,
        clock,
        lease_seconds=settings.lease_seconds,
        poll_seconds=settings.poll_seconds,
        give_up_minutes=settings.give_up_minutes,
    )
    erasing = ErasureWorkflow(
        database,
        units,
        accounts,
        queue,
        clock,
        # A patient may have hundreds of tickets to be taken out of: that step has 10 s.
        lease_seconds=2 * settings.lease_seconds,
        poll_seconds=settings.poll_seconds,
    )
    for workflow in (registering, erasing):
        server.on_close(workflow.close)
        server.add_background_task(workflow.run)
    return registering, erasing


if __name__ == "__main__":
    run(OcrSettings(), build)

"""Records in the audit trail what commands of operators have done."""

import asyncio

import typer
from mediq.audit.v1.audit_pb2 import AuditAct
from sqlalchemy import MetaData
from sqlalchemy.exc import SQLAlchemyError

from mesh.audit_trail.events import command_event
from mesh.audit_trail.recorder import AuditRecorder, audit_table, relayed_by_the_service
from mesh.clock import utc_now
from mesh.encryption.field_cipher import FieldCipher
from mesh.errors import MeshError
from mesh.persistence.database import Database
from mesh.settings import ServiceSettings, settings_of


def record_command(service: str, command: str) -> bool:
    """Records what a command has done, in the database of the service that it concerns.

    Afterwards, not in one transaction with it: a stolen key is taken out when no database answers
    too. The service takes the event into the trail when it runs.

    Args:
        service: The service whose keys, certificates or tables were changed.
        command: The words of the command, with the key or the service that it was about.

    Returns:
        Whether it is recorded; if not, standard error says so.
    """
    try:
        asyncio.run(_write(settings_of(service), command))
    except (MeshError, OSError, ValueError, SQLAlchemyError) as error:
        typer.echo(
            f"mediq: done, but {service}'s database does not take `{command}` into the audit trail "
            f"({type(error).__name__}): check MEDIQ_{service.upper()}_DATABASE_URL, and write down "
            "by hand who did it, and when",
            err=True,
        )
        return False
    return True


async def _write(settings: ServiceSettings, command: str) -> None:
    event = command_event(settings.service, command, AuditAct.AUDIT_ACT_CHANGE, utc_now)
    cipher = FieldCipher.load(settings.keys, settings.service)
    database = Database(settings.database, 1)
    try:
        trail = AuditRecorder(
            audit_table(MetaData()), database, cipher, relayed_by_the_service, utc_now
        )
        await trail.record(event)
    finally:
        await database.close()

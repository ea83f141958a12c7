"""The database of a running service. Apart from the server: not every service has one."""

from sqlalchemy.exc import SQLAlchemyError

from mesh.persistence.database import Database
from mesh.rpc.server import Server

__all__ = [
    "open_database",
]


def open_database(server: Server, url: str = "", check: str = "database") -> Database:
    """Opens a database: brought up to date, watched by readiness, closed at the end.

    Args:
        server: The server.
        url: SQLAlchemy URL. Empty: the service's own database.
        check: Name of the readiness check.

    Raises:
        RuntimeError: The database cannot be migrated.
    """
    settings = server.settings
    if settings.migrate_at_start:
        # Alembic is 11 MB that a service needs once: not where `mediq up` has migrated already.
        from mesh.persistence.migrations import upgrade

        try:
            upgrade(settings.service, url or settings.database)
        except SQLAlchemyError as error:
            raise RuntimeError(
                f"the database cannot be brought up to date ({error}): check "
                f"MEDIQ_{settings.service.upper()}_{check.upper()}_URL and the space on its disk"
            ) from error
    database = Database(url or settings.database, settings.database_threads)
    server.add_readiness_check(check, database.ping)
    server.on_close(database.close)
    return database

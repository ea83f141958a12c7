"""Alembic for every service: SERVICE/migrations holds the versions, this module runs them."""

from importlib.resources import files
from pathlib import Path

from alembic import command, context
from alembic.config import Config
from sqlalchemy import Connection, MetaData, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from mesh.persistence.database import make_engine

__all__ = [
    "config_for",
    "run_env",
    "upgrade",
]


def config_for(service: str, url: str) -> Config:
    """Makes the Alembic configuration of a service's package.

    Args:
        service: Name of the package, such as queue_svc.
        url: SQLAlchemy URL of its database.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(str(files(service))) / "migrations"))
    config.attributes["url"] = url
    return config


def upgrade(service: str, url: str, revision: str = "head") -> None:
    """Brings the database of a service up to date."""
    command.upgrade(config_for(service, url), revision)


def _without_foreign_keys(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    """Turns foreign keys off: SQLite changes a table by a copy that takes its place."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=OFF")
    cursor.close()


def run_env(metadata: MetaData) -> None:
    """Runs the migrations; a service's migrations/env.py calls it."""

    def migrate(connection: Connection) -> None:
        context.configure(
            connection=connection,
            target_metadata=metadata,
            compare_type=True,
            render_as_batch=connection.dialect.name == "sqlite",
        )
        with context.begin_transaction():
            context.run_migrations()

    engine = make_engine(context.config.attributes["url"], 1)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _without_foreign_keys)
    with engine.connect() as connection:
        migrate(connection)
        connection.commit()
    engine.dispose()

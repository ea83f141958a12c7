"""The tables are the same on every database."""

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect

from mesh.persistence.migrations import config_for, upgrade
from queue_svc.persistence.models import Base
from tests.support.backends.databases import on_empty

pytestmark = on_empty


def test_the_migrations_make_the_models(database_url: str) -> None:
    upgrade("queue_svc", database_url)
    engine = create_engine(database_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_the_migrations_can_be_taken_back(database_url: str) -> None:
    upgrade("queue_svc", database_url)
    command.downgrade(config_for("queue_svc", database_url), "base")
    engine = create_engine(database_url)
    assert set(inspect(engine).get_table_names()) <= {"alembic_version"}
    engine.dispose()

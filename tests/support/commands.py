"""What commands beside the services hand to the audit trail."""

from pathlib import Path

import pytest
from mediq.audit.v1.audit_pb2 import AuditEvent
from sqlalchemy import MetaData, create_engine, select

from mesh.audit_trail.recorder import audit_table, event_associated_data
from mesh.encryption.data_keys import ensure_data_key
from mesh.encryption.field_cipher import FieldCipher
from mesh.settings import settings_of
from tests.support.backends.databases import migrated_sqlite


class CommandTrail:
    """The events that a service will take into the trail when it runs."""

    def __init__(self, service: str) -> None:
        """Makes the service's data key and database, where the environment says they are."""
        self.service = service
        settings = settings_of(service)
        ensure_data_key(settings.keys, service)
        migrated_sqlite(service, settings.home / "data" / f"{service}.db")

    def events(self) -> list[AuditEvent]:
        """All that wait."""
        settings = settings_of(self.service)
        cipher = FieldCipher.load(settings.keys, self.service)
        engine = create_engine(settings.database)
        table = audit_table(MetaData())
        with engine.connect() as connection:
            rows = connection.execute(select(table).order_by(table.c.position)).all()
        engine.dispose()
        return [
            AuditEvent.FromString(cipher.decrypt(row.payload, event_associated_data(row.event_id)))
            for row in rows
        ]

    def commands(self) -> list[str]:
        """The words of the commands, in order."""
        return [event.method for event in self.events()]


@pytest.fixture
def command_trail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandTrail:
    """Of user_svc, in a data folder of the test's own."""
    monkeypatch.setenv("MEDIQ_HOME", str(tmp_path))
    return CommandTrail("user_svc")

"""What operations need to know of this service."""

from collections.abc import Sequence
from pathlib import Path

from mesh.registry import ServiceDatabase, ServiceDefinition
from user_svc.persistence.encrypted_columns import AUDIT_DATABASE_COLUMNS, ENCRYPTED_COLUMNS
from user_svc.settings import UserSettings


def audit_databases(home: Path) -> Sequence[ServiceDatabase]:
    """Returns the database of the audit trail, if it has one of its own."""
    url = UserSettings(home=home).audit_database_url
    return [ServiceDatabase(url, AUDIT_DATABASE_COLUMNS)] if url else []


SERVICE = ServiceDefinition(
    "user_svc",
    has_database=True,
    encrypted_columns=ENCRYPTED_COLUMNS,
    further_databases=audit_databases,
)

"""An audit trail on every kind of database."""

from collections.abc import Iterator

import pytest

from mesh.persistence.database import make_engine
from tests.user_svc.audit.audit_trail import AuditTrail


@pytest.fixture
def trail(database_url: str) -> Iterator[AuditTrail]:
    """An empty audit trail without a server around it."""
    trail = AuditTrail(database_url, make_engine(database_url))
    yield trail
    trail.engine.dispose()

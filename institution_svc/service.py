"""What operations need to know of this service."""

from institution_svc.persistence.encrypted_columns import ENCRYPTED_COLUMNS
from mesh.registry import ServiceDefinition

SERVICE = ServiceDefinition(
    "institution_svc", has_database=True, encrypted_columns=ENCRYPTED_COLUMNS
)

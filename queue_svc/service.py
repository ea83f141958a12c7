"""What operations need to know of this service."""

from mesh.registry import ServiceDefinition
from queue_svc.persistence.encrypted_columns import ENCRYPTED_COLUMNS

SERVICE = ServiceDefinition("queue_svc", has_database=True, encrypted_columns=ENCRYPTED_COLUMNS)

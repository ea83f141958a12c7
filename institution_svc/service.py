"""What operations need to know of this service."""

from institution_svc.sealed import SEALED
from mesh.registry import ServiceDefinition

SERVICE = ServiceDefinition("institution_svc", has_database=True, encrypted_columns=SEALED)

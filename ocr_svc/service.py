"""What operations need to know of this service."""

from mesh.registry import ServiceDefinition
from ocr_svc.sealed import SEALED

SERVICE = ServiceDefinition("ocr_svc", has_database=True, encrypted_columns=SEALED)

"""What operations need to know of this service."""

from mesh.registry import ServiceDefinition
from ocr_svc.persistence.encrypted_columns import ENCRYPTED_COLUMNS

SERVICE = ServiceDefinition("ocr_svc", has_database=True, encrypted_columns=ENCRYPTED_COLUMNS)

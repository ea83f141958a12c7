"""What operations need to know of this service."""

from mesh.registry import ServiceDefinition

SERVICE = ServiceDefinition("ocr_engine")

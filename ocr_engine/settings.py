"""Settings of the card reader, from MEDIQ_OCR_ENGINE_*."""

from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from mesh.settings import ServiceSettings


class EngineSettings(ServiceSettings):
    """Holds the settings of the card reader."""

    model_config = SettingsConfigDict(env_prefix="MEDIQ_OCR_ENGINE_")
    service: ClassVar[str] = "ocr_engine"

    threads: int = Field(default=2, ge=1, le=32)
    """Processor cores that one reading uses."""
    max_waiting: int = Field(default=24, ge=0, le=256)
    """Photos that may wait for the one that is being read. More are refused at once, as is a photo
    whose turn would come after its caller's deadline. Bounds the memory: up to 10 MiB a photo."""
    max_batches: int = Field(default=2, ge=0, le=16)
    """Batches that may be under way at a time: up to 64 MiB each."""

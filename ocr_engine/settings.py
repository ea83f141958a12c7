"""Settings of the card reader."""

from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from mesh.config import ServiceSettings
from ocr_engine.imaging import WORKING_SIDE_PX


class Settings(ServiceSettings):
    """Settings of the card reader, from variables that begin with MEDIQ_OCR_ENGINE_."""

    model_config = SettingsConfigDict(env_prefix="MEDIQ_OCR_ENGINE_")

    service: ClassVar[str] = "ocr_engine"

    torch_threads: int = Field(default=2, ge=1, le=32)
    """Processor cores that one reading uses."""
    detection_side_px: int = Field(default=800, ge=320, le=WORKING_SIDE_PX)
    """Longer side of the picture in which text is searched. Time grows with its square."""
    max_waiting: int = Field(default=6, ge=0, le=64)
    """Photos that may wait for the one that is being read. More are refused at once."""

"""Settings of the registration service, from MEDIQ_OCR_SVC_*."""

from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from mesh.settings import ServiceSettings


class OcrSettings(ServiceSettings):
    """Holds the settings of the registration service."""

    model_config = SettingsConfigDict(env_prefix="MEDIQ_OCR_SVC_")
    service: ClassVar[str] = "ocr_svc"

    draft_minutes: float = Field(default=30, gt=0, le=120)
    """How long a draft waits for its confirmation."""
    purge_seconds: float = Field(default=30, gt=0)
    """How often ended drafts are erased, and erasures looked for whose time has come."""
    lease_seconds: float = Field(default=10, gt=0)
    """How long a process keeps a registration to itself. More than one step may take (5 s); after
    a crash another process goes on when it has passed. An erasure: twice as long."""
    poll_seconds: float = Field(default=1, gt=0)
    """How often unfinished registrations are looked for."""
    give_up_minutes: float = Field(default=120, gt=0, le=720)
    """When a registration that cannot be finished fails. Well below the 24 hours for which the
    other services know its key: a step that is repeated later would have its effect twice."""
    retention_days: int = Field(default=9132, ge=0, le=36525)
    """How long after the last visit the data of a person who was served are kept before an erasure
    takes them: 25 years, which have up to 7 leap days (Permenkes 24/2022, Article 39: electronic
    medical records at least 25 years after the last visit). 0: the queue is no part of the medical
    record, nothing is kept. An erasure keeps to what was set when it was asked for."""

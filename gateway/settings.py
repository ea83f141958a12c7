"""Settings of the gateway service, from MEDIQ_GATEWAY_*."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from mesh.config import ServiceSettings
from mesh.contracts import GENERATED


class GatewaySettings(ServiceSettings):
    """Settings of the gateway service."""

    model_config = SettingsConfigDict(env_prefix="MEDIQ_GATEWAY_")
    service: ClassVar[str] = "gateway"

    openapi_file: Path = GENERATED / "openapi.json"
    """The OpenAPI document to publish."""
    health_timeout_seconds: float = Field(default=1.0, gt=0, le=1.5)
    """How long a service may take to say how it is; less than the deadline of GetHealth."""
    health_age_seconds: float = Field(default=1.0, ge=0)
    """How old a known state may be. Anyone may ask, and every look-up calls every service."""

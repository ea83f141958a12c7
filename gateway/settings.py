"""Settings of the gateway service, from MEDIQ_GATEWAY_*."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from gateway.domain.allowance import Allowance
from mesh.contract.methods import GENERATED
from mesh.settings import ServiceSettings
from mesh.shared_state.rate_limits import Limit


class GatewaySettings(ServiceSettings):
    """Holds the settings of the gateway service."""

    model_config = SettingsConfigDict(env_prefix="MEDIQ_GATEWAY_")
    service: ClassVar[str] = "gateway"

    openapi_file: Path = GENERATED / "openapi.json"
    """The OpenAPI document to publish."""
    health_timeout_seconds: float = Field(default=1.0, gt=0, le=1.5)
    """How long a service may take to say how it is; less than the deadline of GetHealth."""
    health_age_seconds: float = Field(default=1.0, ge=0)
    """How old a known state may be. Anyone may ask, and every look-up calls every service."""
    address_logins: int = Field(default=120, ge=1)
    """Calls of the class LOGIN a minute from one address. As many as one Envoy's own buckets let
    through: a waiting room shares an address, and these limits bind when Envoys are several."""
    all_logins: int = Field(default=3000, ge=1)
    """Calls of the class LOGIN a minute from everywhere."""
    address_uploads: int = Field(default=90, ge=1)
    """Photos a minute from one address."""
    all_uploads: int = Field(default=1200, ge=1)
    """Photos a minute from everywhere; what the card readers can do together."""
    address_registrations: int = Field(default=180, ge=1)
    """Confirmed registrations a minute from one address."""
    all_registrations: int = Field(default=2400, ge=1)
    """Confirmed registrations a minute from everywhere."""

    @property
    def allowances(self) -> Mapping[str, Allowance]:
        """Returns the global rate limits by name."""
        return {
            Limit.LOGIN: Allowance(self.address_logins, self.all_logins),
            Limit.UPLOAD: Allowance(self.address_uploads, self.all_uploads),
            Limit.REGISTRATION: Allowance(self.address_registrations, self.all_registrations),
        }

"""Settings of the facility service, from MEDIQ_INSTITUTION_SVC_*."""

from typing import ClassVar

from pydantic_settings import SettingsConfigDict

from mesh.settings import ServiceSettings


class InstitutionSettings(ServiceSettings):
    """Holds the settings of the facility service."""

    model_config = SettingsConfigDict(env_prefix="MEDIQ_INSTITUTION_SVC_")
    service: ClassVar[str] = "institution_svc"

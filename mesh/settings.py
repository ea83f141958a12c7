"""Settings from the environment. Every setting has a default that works on one machine."""

import os
from pathlib import Path
from typing import ClassVar

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from mesh.contract.methods import SERVERS

__all__ = [
    "ServiceSettings",
    "address_of",
    "home_folder",
    "settings_of",
]


def home_folder() -> Path:
    """Returns the data folder: MEDIQ_HOME, or .mediq below the working folder."""
    return Path(os.environ.get("MEDIQ_HOME", ".mediq")).resolve()


class ServiceSettings(BaseSettings):
    """Holds the settings of every service. Subclasses set `service` and the prefix."""

    model_config = SettingsConfigDict(frozen=True, populate_by_name=True, extra="ignore")

    service: ClassVar[str]
    """Name of the service, such as queue_svc."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = -1
    """TCP port; 0 lets the system choose; -1 takes the service's default."""
    metrics_port: int = Field(default=0, ge=0, le=65535)
    """TCP port of /metrics, for Prometheus, on the same host; plain HTTP. 0: no metrics."""
    database_url: str = Field(default="", repr=False)
    """SQLAlchemy URL. Empty: an SQLite file in the data folder."""
    database_threads: int = Field(default=8, ge=1, le=64)
    """Units of work that may run at the same time."""
    home: Path = Field(default_factory=home_folder, validation_alias="MEDIQ_HOME")
    """Data folder: keys, certificates, databases."""
    tls_folder: Path | None = Field(default=None, validation_alias="MEDIQ_TLS_FOLDER")
    """Folder of NAME.crt, NAME.key and ca.crt. None: tls in the data folder."""
    keys_folder: Path | None = Field(default=None, validation_alias="MEDIQ_KEYS_FOLDER")
    """Folder of jwks.json and the data keys. None: keys in the data folder."""
    redis_url: str = Field(default="", repr=False, validation_alias="MEDIQ_REDIS_URL")
    """Redis for shared caches. Empty: a cache in the process."""
    log_level: str = Field(default="INFO", validation_alias="MEDIQ_LOG_LEVEL")
    """Lowest level that is logged."""
    trace_ratio: float = Field(default=0.0, ge=0, le=1, validation_alias="MEDIQ_TRACE_RATIO")
    """Share of traces that are recorded into the data folder."""
    migrate_at_start: bool = Field(default=True, validation_alias="MEDIQ_MIGRATE_AT_START")
    """Whether the service brings its database up to date itself."""
    drain_seconds: float = Field(default=5.0, validation_alias="MEDIQ_DRAIN_SECONDS")
    """Time for calls in progress when the service stops."""

    @property
    def tls(self) -> Path:
        """Returns the folder of certificates."""
        return self.tls_folder or self.home / "tls"

    @property
    def keys(self) -> Path:
        """Returns the folder of keys."""
        return self.keys_folder or self.home / "keys"

    @property
    def listen_port(self) -> int:
        """Returns the port to listen on."""
        return SERVERS[self.service].port if self.port < 0 else self.port

    @property
    def database(self) -> str:
        """Returns the SQLAlchemy URL to use."""
        return self.database_url or f"sqlite:///{self.home / 'data' / self.service}.db"


def address_of(server: str) -> str:
    """Returns where a service listens: MEDIQ_<NAME>_ADDRESS, or its port on this machine."""
    default = f"127.0.0.1:{SERVERS[server].port}"
    return os.environ.get(f"MEDIQ_{server.upper()}_ADDRESS", default)


def settings_of(name: str, home: Path | None = None) -> ServiceSettings:
    """Returns the settings that a service would start with, for tools on its database.

    Args:
        name: Name of the service.
        home: Data folder; None takes the environment's.
    """

    class Settings(ServiceSettings):
        model_config = SettingsConfigDict(env_prefix=f"MEDIQ_{name.upper()}_")
        service: ClassVar[str] = name

    return Settings(home=home or home_folder())

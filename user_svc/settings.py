"""Settings of the account service, from MEDIQ_USER_SVC_*."""

import datetime
from pathlib import Path
from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from mesh.settings import ServiceSettings
from user_svc.domain.sessions import SessionRules


class UserSettings(ServiceSettings):
    """Holds the settings of the account service."""

    model_config = SettingsConfigDict(env_prefix="MEDIQ_USER_SVC_")
    service: ClassVar[str] = "user_svc"

    bcrypt_cost: int = Field(default=12, ge=4, le=16)
    """Rounds of bcrypt as a power of two. Below 12 only in tests."""
    bcrypt_threads: int = Field(default=4, ge=1, le=64)
    """Passwords that are checked at the same time."""
    access_seconds: int = Field(default=600, ge=1, le=3600)
    """Life of an access token of staff."""
    session_seconds: int = Field(default=12 * 3600, ge=1, le=24 * 3600)
    """Life of a staff session, whatever is refreshed."""
    refresh_grace_seconds: int = Field(default=10, ge=0, le=60)
    """How long after its use a refresh token still repeats its answer."""
    require_admin_totp: bool = False
    """Whether administrators need one-time codes to sign in. Production turns it on."""
    audit_database_url: str = Field(default="", repr=False)
    """SQLAlchemy URL of a database of its own for the audit trail. Empty: the trail is in the
    service's database."""
    audit_anchors: Path | None = None
    """Folder of the audit trail's anchors, in production one that cannot be changed. None: anchors
    in the data folder."""
    audit_anchor_seconds: float = Field(default=10.0, gt=0, le=3600)
    """How often the head of the audit trail is anchored."""

    @property
    def session_rules(self) -> SessionRules:
        """Returns how long sessions of staff live."""
        return SessionRules(
            life=datetime.timedelta(seconds=self.session_seconds),
            grace=datetime.timedelta(seconds=self.refresh_grace_seconds),
        )

    @property
    def audit_database(self) -> str:
        """Returns the SQLAlchemy URL of the database that holds the audit trail."""
        return self.audit_database_url or self.database

    @property
    def anchors(self) -> Path:
        """Returns the folder of the audit trail's anchors."""
        return self.audit_anchors or self.home / "anchors"

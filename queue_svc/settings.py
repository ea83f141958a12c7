"""Settings of the queue service, from MEDIQ_QUEUE_SVC_*."""

import datetime
from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from mesh.settings import ServiceSettings
from queue_svc.domain.rules import Rules


class QueueSettings(ServiceSettings):
    """Holds the settings of the queue service."""

    model_config = SettingsConfigDict(env_prefix="MEDIQ_QUEUE_SVC_")
    service: ClassVar[str] = "queue_svc"

    recalls: int = Field(default=3, ge=0)
    """How often a call may be repeated."""
    places_back: int = Field(default=3, ge=1)
    """People who go before a patient who was skipped and came back."""
    counter_window_minutes: int = Field(default=30, ge=1)
    """A counter that called within this time counts as open."""
    carry_hours: int = Field(default=6, ge=0, le=12)
    """Hours after midnight in which yesterday's waiting tickets are called too."""
    tickets_an_hour: int = Field(default=10, ge=1)
    """Tickets that a patient may take within an hour without staff."""
    heartbeat_seconds: float = Field(default=15.0, gt=0)
    """Longest silence of a live stream."""
    facts_seconds: float = Field(default=30.0, ge=0)
    """How long a facility's facts are used before they are asked for again."""
    copy_seconds: float = Field(default=2.0, gt=0)
    """Longest use of a cached value; a change makes it old at once."""
    fhir_export: bool = False
    """Whether visits are given out as FHIR Encounters."""
    amqp_url: str = Field(default="", repr=False)
    """RabbitMQ that carries events between processes, amqp://user:password@host/. Empty: events
    stay in the process."""

    @property
    def rules(self) -> Rules:
        """Returns what the rules depend on."""
        return Rules(
            recalls=self.recalls,
            places_back=self.places_back,
            counter_window=datetime.timedelta(minutes=self.counter_window_minutes),
            carry_hours=self.carry_hours,
            tickets_an_hour=self.tickets_an_hour,
        )

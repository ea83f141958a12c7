"""What a network may set about its queues."""

import datetime
from dataclasses import dataclass


@dataclass(frozen=True)
class Rules:
    """The settings that the rules depend on."""

    recalls: int = 3
    """How often a call may be repeated."""
    places_back: int = 3
    """People of the class who go before a patient who was skipped and came back."""
    counter_window: datetime.timedelta = datetime.timedelta(minutes=30)
    """A counter that called within this time counts as open."""
    carry_hours: int = 6
    """Hours after midnight in which yesterday's waiting tickets are called too."""
    tickets_an_hour: int = 10
    """Tickets that a patient may take within an hour without staff."""

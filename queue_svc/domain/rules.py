"""What a network sets about its queues, and a facility about the priorities of its patients."""

import datetime
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from queue_svc.domain.states import Priority, PriorityReason

ELDERLY_AGE = 60
"""Age in years from which a person counts as elderly (UU 13/1998, article 1)."""


@dataclass(frozen=True)
class Rules:
    """Holds the settings that the rules depend on."""

    recalls: int = 3
    """How often a call may be repeated."""
    places_back: int = 3
    """People of the same priority who go before a patient who was skipped and came back."""
    counter_window: datetime.timedelta = datetime.timedelta(minutes=30)
    """A counter that called within this time counts as open."""
    carry_hours: int = 6
    """Hours after midnight in which yesterday's waiting tickets are called too."""
    tickets_an_hour: int = 10
    """Tickets that a patient may take within an hour without staff."""


def _everyone_high() -> Mapping[PriorityReason, Priority]:
    reasons = (
        PriorityReason.ELDERLY,
        PriorityReason.PREGNANT,
        PriorityReason.DISABLED,
        PriorityReason.REFERRAL,
    )
    return dict.fromkeys(reasons, Priority.HIGH)


@dataclass(frozen=True)
class PriorityRules:
    """Says who is preferred at a facility."""

    elderly_age: int = ELDERLY_AGE
    """Age in years from which ELDERLY holds."""
    priorities: Mapping[PriorityReason, Priority] = field(default_factory=_everyone_high)
    """By reason; a reason that is not here changes nothing."""

    def choose(
        self, age_years: int, reasons: Collection[PriorityReason]
    ) -> tuple[Priority, PriorityReason]:
        """Returns the priority of a patient, and the reason that gives it: the highest one wins.

        Args:
            age_years: Age in years. 0: not known.
            reasons: What staff see of the patient.
        """
        held = set(reasons)
        if age_years >= self.elderly_age:
            held.add(PriorityReason.ELDERLY)
        found = [
            (self.priorities[reason], -reason, reason) for reason in held & set(self.priorities)
        ]
        if not found:
            return Priority.NORMAL, PriorityReason.NONE
        priority, _, reason = max(found)
        return priority, reason

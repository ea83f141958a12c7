"""What a network sets about its queues, and a facility about the classes of its patients."""

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
    """People of the class who go before a patient who was skipped and came back."""
    counter_window: datetime.timedelta = datetime.timedelta(minutes=30)
    """A counter that called within this time counts as open."""
    carry_hours: int = 6
    """Hours after midnight in which yesterday's waiting tickets are called too."""
    tickets_an_hour: int = 10
    """Tickets that a patient may take within an hour without staff."""


def _everyone_high() -> Mapping[PriorityReason, Priority]:
    grounds = (
        PriorityReason.ELDERLY,
        PriorityReason.PREGNANT,
        PriorityReason.DISABLED,
        PriorityReason.REFERRAL,
    )
    return dict.fromkeys(grounds, Priority.HIGH)


@dataclass(frozen=True)
class ClassRules:
    """Says who is preferred at a facility."""

    elderly_age: int = ELDERLY_AGE
    """Age in years from which ELDERLY holds."""
    classes: Mapping[PriorityReason, Priority] = field(default_factory=_everyone_high)
    """Class by ground; a ground that is not here changes nothing."""

    def choose(
        self, age_years: int, grounds: Collection[PriorityReason]
    ) -> tuple[Priority, PriorityReason]:
        """Returns the class of a patient, and the ground that gives it: the highest class wins.

        Args:
            age_years: Age in years. 0: not known.
            grounds: What staff see of the patient.
        """
        held = set(grounds)
        if age_years >= self.elderly_age:
            held.add(PriorityReason.ELDERLY)
        found = [(self.classes[ground], -ground, ground) for ground in held & set(self.classes)]
        if not found:
            return Priority.NORMAL, PriorityReason.NONE
        priority, _, ground = max(found)
        return priority, ground

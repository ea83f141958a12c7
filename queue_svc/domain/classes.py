"""The class that a facility's rules give a patient, and why."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from queue_svc.domain.states import Ground, Priority

ELDERLY_AGE = 60
"""Age in years from which a person counts as elderly (UU 13/1998, article 1)."""


def _everyone_high() -> Mapping[Ground, Priority]:
    grounds = (Ground.ELDERLY, Ground.PREGNANT, Ground.DISABLED, Ground.REFERRAL)
    return dict.fromkeys(grounds, Priority.HIGH)


@dataclass(frozen=True)
class ClassRules:
    """Who is preferred at a facility."""

    elderly_age: int = ELDERLY_AGE
    """Age in years from which ELDERLY holds."""
    classes: Mapping[Ground, Priority] = field(default_factory=_everyone_high)
    """Class by ground; a ground that is not here changes nothing."""

    def choose(self, age_years: int, grounds: Collection[Ground]) -> tuple[Priority, Ground]:
        """The class of a patient, and the ground that gives it: the highest class wins.

        Args:
            age_years: Age in years. 0: not known.
            grounds: What staff see of the patient.
        """
        held = set(grounds)
        if age_years >= self.elderly_age:
            held.add(Ground.ELDERLY)
        found = [(self.classes[ground], -ground, ground) for ground in held & set(self.classes)]
        if not found:
            return Priority.NORMAL, Ground.NONE
        priority, _, ground = max(found)
        return priority, ground

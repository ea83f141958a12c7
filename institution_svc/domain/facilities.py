"""Facilities, their services and counters: what they are and what may be said of them."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from rapidfuzz import fuzz, process, utils

from mesh.errors import MeshError, StatusCode, invalid

DEFAULT_SERVICE_MINUTES = 10
DEFAULT_ELDERLY_AGE = 60
"""In years: who is elderly by law (UU 13/1998)."""
_STANDARD_WAIT_MINUTES = 60
"""Outpatients wait at most so long (Kepmenkes 129/2008)."""
_STANDARD_PHARMACY_MINUTES = 30
"""Finished medicine is given out within this time (Kepmenkes 129/2008)."""
MATCH_SCORE = 70.0
"""Lowest similarity, 0 to 100, that counts as a find: one wrong letter in a short word passes."""


class ServiceKind(IntEnum):
    """Says what a service does, numbered as in the contracts."""

    REGISTRATION = 1
    CLINIC = 2
    PHARMACY = 3
    OTHER = 4


class PriorityReason(IntEnum):
    """Names what holds for a patient and may give a priority, numbered as in the contracts."""

    ELDERLY = 1
    PREGNANT = 2
    DISABLED = 3
    REFERRAL = 4


class Priority(IntEnum):
    """Names the priorities that a reason may give, numbered as in the contracts."""

    NORMAL = 2
    HIGH = 3


@dataclass(frozen=True)
class PriorityRules:
    """Says who is preferred in the queues of a facility. A reason with None changes nothing."""

    elderly_age: int = DEFAULT_ELDERLY_AGE
    """Age in years from which ELDERLY holds."""
    elderly: Priority | None = Priority.HIGH
    pregnant: Priority | None = Priority.HIGH
    disabled: Priority | None = Priority.HIGH
    referral: Priority | None = Priority.HIGH

    def priorities(self) -> Mapping[PriorityReason, Priority | None]:
        """Returns the priority that each reason gives."""
        return {
            PriorityReason.ELDERLY: self.elderly,
            PriorityReason.PREGNANT: self.pregnant,
            PriorityReason.DISABLED: self.disabled,
            PriorityReason.REFERRAL: self.referral,
        }


@dataclass(frozen=True)
class Institution:
    """Holds what is known of a health facility."""

    id: str
    name: str
    city: str
    address: str
    time_zone: str
    create_time: datetime.datetime
    update_time: datetime.datetime
    priority_rules: PriorityRules


@dataclass(frozen=True)
class Rates:
    """Says how fast waiting tickets move up, by priority. Only the proportions count."""

    high: float = 4.0
    normal: float = 2.0
    low: float = 1.0


@dataclass(frozen=True)
class HealthcareService:
    """Holds what is known of a service of a facility, which has a queue of its own."""

    id: str
    institution_id: str
    name: str
    prefix: str
    service_minutes: int
    kind: ServiceKind
    rates: Rates
    standard_wait_minutes: int
    """The wait that should not be passed."""
    opens: str
    """Facility-local, HH:MM. Empty, as is `closes` then: it is always open."""
    closes: str


@dataclass(frozen=True)
class Counter:
    """Names a counter at which patients are served."""

    id: str
    institution_id: str
    name: str


@dataclass(frozen=True)
class Changes:
    """Says what an update changes; None leaves a field as it is."""

    name: str | None = None
    city: str | None = None
    address: str | None = None
    time_zone: str | None = None
    priority_rules: PriorityRules | None = None


@dataclass(frozen=True)
class ServiceChanges:
    """Says what an update of a service changes; None leaves a field as it is."""

    name: str | None = None
    service_minutes: int | None = None
    kind: ServiceKind | None = None
    rates: Rates | None = None
    standard_wait_minutes: int | None = None
    opens: str | None = None
    closes: str | None = None


def priority_rules(
    elderly_age: int, rules: Sequence[tuple[PriorityReason, Priority]]
) -> PriorityRules:
    """Returns the rules of a facility from those that are listed.

    Args:
        elderly_age: Age in years from which ELDERLY holds. 0: the usual one.
        rules: Priority by reason. A reason that is not listed changes nothing.

    Raises:
        MeshError: RULES_INVALID when a reason is listed twice.
    """
    priorities = dict(rules)
    if len(priorities) < len(rules):
        raise invalid("priority_rules.rules", "a ground is listed twice", "RULES_INVALID")
    return PriorityRules(
        elderly_age or DEFAULT_ELDERLY_AGE, *(priorities.get(reason) for reason in PriorityReason)
    )


def standard_wait_minutes(kind: ServiceKind) -> int:
    """Returns the wait that should not be passed when the facility does not say another one."""
    return _STANDARD_PHARMACY_MINUTES if kind is ServiceKind.PHARMACY else _STANDARD_WAIT_MINUTES


def require_sound(service: HealthcareService) -> None:
    """Refuses settings that do not fit together.

    Raises:
        MeshError: RATES_INVALID or HOURS_INVALID.
    """
    rates = service.rates
    if not rates.high >= rates.normal >= rates.low:
        raise invalid("rates", "must be high >= normal >= low", "RATES_INVALID")
    if bool(service.opens) != bool(service.closes):
        missing = "closes" if service.opens else "opens"
        raise invalid(missing, "give both opens and closes, or neither", "HOURS_INVALID")
    if service.opens and service.opens >= service.closes:
        raise invalid("closes", "must be later than opens, on the same day", "HOURS_INVALID")


def changed(service: HealthcareService, changes: ServiceChanges) -> HealthcareService:
    """Returns the service after an update.

    Raises:
        MeshError: RATES_INVALID or HOURS_INVALID.
    """
    given = {name: value for name, value in vars(changes).items() if value is not None}
    made = replace(service, **given)
    require_sound(made)
    return made


def taken(what: str, field: str) -> MeshError:
    """Returns the error for a name or prefix that the facility uses already."""
    return MeshError(
        f"the facility has a {what} with this {field}",
        StatusCode.ALREADY_EXISTS,
        f"{what.upper()}_{field.upper()}_TAKEN",
    )


def best_matches(words: str, institutions: Sequence[Institution], limit: int) -> list[Institution]:
    """Returns the facilities whose name or city resembles the words, best first."""
    names = [f"{institution.name} {institution.city}" for institution in institutions]
    found = process.extract(
        words,
        names,
        scorer=fuzz.token_set_ratio if " " in words.strip() else fuzz.partial_ratio,
        processor=utils.default_process,
        score_cutoff=MATCH_SCORE,
        limit=limit,
    )
    return [institutions[index] for _, _, index in found]

"""Rows as values of the domain."""

from institution_svc.domain.facilities import (
    Counter,
    HealthcareService,
    Institution,
    Priority,
    PriorityRules,
    ServiceKind,
)
from institution_svc.persistence.models import CounterRow, InstitutionRow, ServiceRow


def _priority_rules(row: InstitutionRow) -> PriorityRules:
    priorities = (row.elderly, row.pregnant, row.disabled, row.referral)
    return PriorityRules(
        row.elderly_age, *(None if found is None else Priority(found) for found in priorities)
    )


def institution_of(row: InstitutionRow) -> Institution:
    """Returns a facility as the domain knows it."""
    return Institution(
        row.id,
        row.name,
        row.city,
        row.address,
        row.time_zone,
        row.create_time,
        row.update_time,
        _priority_rules(row),
    )


def service_of(row: ServiceRow) -> HealthcareService:
    """Returns a service as the domain knows it."""
    return HealthcareService(
        row.id,
        row.institution_id,
        row.name,
        row.prefix,
        row.service_minutes,
        ServiceKind(row.kind),
        row.rates,
        row.standard_wait_minutes,
        row.opens,
        row.closes,
    )


def counter_of(row: CounterRow) -> Counter:
    """Returns a counter as the domain knows it."""
    return Counter(row.id, row.institution_id, row.name)

"""Facilities, services and counters as messages, and the other way round."""

from mediq.institution.v1 import institution_pb2 as messages
from mediq.queue.v1.queue_pb2 import Priority as PriorityMessage
from mediq.queue.v1.queue_pb2 import PriorityGround

from institution_svc.domain.facilities import (
    Counter,
    HealthcareService,
    Institution,
    Priority,
    PriorityReason,
    PriorityRules,
    priority_rules,
)
from mesh.clock import timestamp


def priority_rules_message(found: PriorityRules) -> messages.PriorityRules:
    """Returns rules of priority as a message."""
    return messages.PriorityRules(
        elderly_age=found.elderly_age,
        rules=[
            messages.PriorityRule(
                ground=PriorityGround.ValueType(reason),
                priority=PriorityMessage.ValueType(priority),
            )
            for reason, priority in found.priorities().items()
            if priority is not None
        ],
    )


def priority_rules_of(message: messages.PriorityRules) -> PriorityRules:
    """Returns the rules of priority that a message states."""
    return priority_rules(
        message.elderly_age,
        [(PriorityReason(rule.ground), Priority(rule.priority)) for rule in message.rules],
    )


def institution_message(found: Institution) -> messages.Institution:
    """Returns a facility as a message."""
    return messages.Institution(
        id=found.id,
        name=found.name,
        city=found.city,
        address=found.address,
        time_zone=found.time_zone,
        create_time=timestamp(found.create_time),
        update_time=timestamp(found.update_time),
        priority_rules=priority_rules_message(found.priority_rules),
    )


def service_message(found: HealthcareService) -> messages.HealthcareService:
    """Returns a service as a message."""
    values = vars(found) | {"rates": messages.PriorityRates(**vars(found.rates))}
    return messages.HealthcareService(**values)


def counter_message(found: Counter) -> messages.Counter:
    """Returns a counter as a message."""
    return messages.Counter(**vars(found))

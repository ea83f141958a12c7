"""The use cases that change facilities: a command and a unit of work in, a result out."""

import datetime
import uuid
from dataclasses import dataclass, field

from institution_svc.domain.facilities import (
    DEFAULT_SERVICE_MINUTES,
    Changes,
    Counter,
    HealthcareService,
    Institution,
    Rates,
    ServiceChanges,
    ServiceKind,
    changed,
    require_sound,
    standard_wait_minutes,
)
from institution_svc.persistence.facility_repository import FacilityRepository
from mesh.contract.call import Principal
from mesh.errors import forbidden


@dataclass(frozen=True)
class CreateInstitution:
    """Asks for a new facility."""

    name: str
    city: str
    address: str
    time_zone: str
    """IANA name, such as Asia/Jakarta."""


@dataclass(frozen=True)
class UpdateInstitution:
    """Asks for a change of a facility."""

    institution_id: str
    changes: Changes


@dataclass(frozen=True)
class CloseInstitution:
    """Asks for the end of a facility."""

    institution_id: str


@dataclass(frozen=True, kw_only=True)
class CreateService:
    """Asks for a new service."""

    institution_id: str
    name: str
    prefix: str
    kind: ServiceKind = ServiceKind.CLINIC
    service_minutes: int = 0
    """0: the usual."""
    rates: Rates = field(default_factory=Rates)
    standard_wait_minutes: int = 0
    """0: that of its kind."""
    opens: str = ""
    closes: str = ""


@dataclass(frozen=True)
class UpdateService:
    """Asks for a change of a service."""

    institution_id: str
    service_id: str
    changes: ServiceChanges


@dataclass(frozen=True)
class CreateCounter:
    """Asks for a new counter."""

    institution_id: str
    name: str


def require_network_admin(who: Principal) -> None:
    """Lets pass who may make facilities.

    Raises:
        MeshError: NETWORK_ADMIN_ONLY.
    """
    if not who.is_network_admin:
        raise forbidden("only network administrators create facilities", "NETWORK_ADMIN_ONLY")


def create_institution(
    facilities: FacilityRepository, command: CreateInstitution, now: datetime.datetime
) -> Institution:
    """Adds a facility."""
    return facilities.add(command.name, command.city, command.address, command.time_zone, now)


def update_institution(
    facilities: FacilityRepository, command: UpdateInstitution, now: datetime.datetime
) -> Institution:
    """Changes a facility.

    Raises:
        MeshError: INSTITUTION_NOT_FOUND.
    """
    return facilities.update(command.institution_id, command.changes, now)


def close_institution(
    facilities: FacilityRepository, command: CloseInstitution, now: datetime.datetime
) -> None:
    """Closes a facility.

    Raises:
        MeshError: INSTITUTION_NOT_FOUND.
    """
    facilities.close(command.institution_id, now)


def create_service(
    facilities: FacilityRepository, command: CreateService, now: datetime.datetime
) -> HealthcareService:
    """Adds a service to its facility.

    Raises:
        MeshError: RATES_INVALID, HOURS_INVALID, INSTITUTION_NOT_FOUND, SERVICE_NAME_TAKEN or
            SERVICE_PREFIX_TAKEN.
    """
    service = HealthcareService(
        id=str(uuid.uuid4()),
        institution_id=command.institution_id,
        name=command.name,
        prefix=command.prefix,
        service_minutes=command.service_minutes or DEFAULT_SERVICE_MINUTES,
        kind=command.kind,
        rates=command.rates,
        standard_wait_minutes=command.standard_wait_minutes or standard_wait_minutes(command.kind),
        opens=command.opens,
        closes=command.closes,
    )
    require_sound(service)
    return facilities.add_service(service)


def update_service(
    facilities: FacilityRepository, command: UpdateService, now: datetime.datetime
) -> HealthcareService:
    """Changes the fields of a service that are given.

    Raises:
        MeshError: INSTITUTION_NOT_FOUND, SERVICE_NOT_FOUND, RATES_INVALID, HOURS_INVALID or
            SERVICE_NAME_TAKEN.
    """
    facilities.get(command.institution_id)
    # Locked: two updates at once, one of `opens` and one of `closes`, must both see the other.
    service = facilities.service(command.institution_id, command.service_id, lock=True)
    made = changed(service, command.changes)
    facilities.replace_service(made)
    return made


def create_counter(
    facilities: FacilityRepository, command: CreateCounter, now: datetime.datetime
) -> Counter:
    """Adds a counter to a facility.

    Raises:
        MeshError: INSTITUTION_NOT_FOUND or COUNTER_NAME_TAKEN.
    """
    return facilities.add_counter(command.institution_id, command.name)

"""Facilities with their services and counters, read and written in one unit of work."""

import datetime
import uuid
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from institution_svc.domain.facilities import (
    Changes,
    Counter,
    HealthcareService,
    Institution,
    PriorityRules,
    taken,
)
from institution_svc.persistence.mapping import counter_of, institution_of, service_of
from institution_svc.persistence.models import CounterRow, InstitutionRow, ServiceRow
from mesh.errors import not_found


class FacilityRepository:
    """Reads and writes facilities in one unit of work."""

    def __init__(self, session: Session) -> None:
        """Works in `session`."""
        self._session = session

    def add(
        self, name: str, city: str, address: str, time_zone: str, now: datetime.datetime
    ) -> Institution:
        """Adds a facility, with the usual rules of priority."""
        row = InstitutionRow(
            id=str(uuid.uuid4()),
            name=name,
            city=city,
            address=address,
            time_zone=time_zone,
            create_time=now,
            update_time=now,
            **vars(PriorityRules()),
        )
        self._session.add(row)
        return institution_of(row)

    def get(self, institution_id: str) -> Institution:
        """Returns a facility that is open.

        Raises:
            MeshError: INSTITUTION_NOT_FOUND.
        """
        return institution_of(self._open(institution_id))

    def update(self, institution_id: str, changes: Changes, now: datetime.datetime) -> Institution:
        """Changes the fields that are given.

        Raises:
            MeshError: INSTITUTION_NOT_FOUND.
        """
        row = self._open(institution_id)
        given = {field: value for field, value in vars(changes).items() if value is not None}
        rules: PriorityRules | None = given.pop("priority_rules", None)
        if rules is not None:
            given |= vars(rules)
        for field, value in given.items():
            setattr(row, field, value)
        row.update_time = now
        return institution_of(row)

    def close(self, institution_id: str, now: datetime.datetime) -> None:
        """Closes a facility.

        Raises:
            MeshError: INSTITUTION_NOT_FOUND.
        """
        self._open(institution_id).close_time = now

    def page(self, after: tuple[str, ...] | None, limit: int) -> list[Institution]:
        """Returns open facilities by name, from the one after `after` (name, id)."""
        query = select(InstitutionRow).where(InstitutionRow.close_time.is_(None))
        if after is not None:
            name, identifier = after
            query = query.where(
                (InstitutionRow.name > name)
                | ((InstitutionRow.name == name) & (InstitutionRow.id > identifier))
            )
        query = query.order_by(InstitutionRow.name, InstitutionRow.id).limit(limit)
        return [institution_of(row) for row in self._session.scalars(query)]

    def all(self) -> Sequence[Institution]:
        """Returns every open facility, for the search."""
        query = select(InstitutionRow).where(InstitutionRow.close_time.is_(None))
        return [institution_of(row) for row in self._session.scalars(query)]

    def add_service(self, service: HealthcareService) -> HealthcareService:
        """Adds a service to its facility.

        Raises:
            MeshError: INSTITUTION_NOT_FOUND, SERVICE_NAME_TAKEN or SERVICE_PREFIX_TAKEN.
        """
        self._open(service.institution_id)
        self._session.add(ServiceRow(**vars(service)))
        try:
            self._session.flush()
        except IntegrityError as error:
            raise taken("service", "prefix" if "prefix" in str(error.orig) else "name") from error
        return service

    def service(
        self, institution_id: str, service_id: str, *, lock: bool = False
    ) -> HealthcareService:
        """Returns a service of a facility.

        Args:
            institution_id: The facility.
            service_id: The service.
            lock: Whether others that would change it wait until this unit of work has ended.

        Raises:
            MeshError: SERVICE_NOT_FOUND.
        """
        return service_of(self._service_row(institution_id, service_id, lock=lock))

    def replace_service(self, service: HealthcareService) -> None:
        """Writes a service that has changed.

        Raises:
            MeshError: SERVICE_NOT_FOUND or SERVICE_NAME_TAKEN.
        """
        row = self._service_row(service.institution_id, service.id)
        for field, value in vars(service).items():
            setattr(row, field, value)
        try:
            self._session.flush()
        except IntegrityError as error:
            raise taken("service", "name") from error

    def services(
        self, institution_id: str, after: tuple[str, ...] | None, limit: int
    ) -> list[HealthcareService]:
        """Returns services of an open facility by name, from the one after `after` (name).

        Raises:
            MeshError: INSTITUTION_NOT_FOUND.
        """
        self._open(institution_id)
        query = select(ServiceRow).where(ServiceRow.institution_id == institution_id)
        if after is not None:
            query = query.where(ServiceRow.name > after[0])
        query = query.order_by(ServiceRow.name).limit(limit)
        return [service_of(row) for row in self._session.scalars(query)]

    def add_counter(self, institution_id: str, name: str) -> Counter:
        """Adds a counter to a facility.

        Raises:
            MeshError: INSTITUTION_NOT_FOUND or COUNTER_NAME_TAKEN.
        """
        self._open(institution_id)
        row = CounterRow(id=str(uuid.uuid4()), institution_id=institution_id, name=name)
        self._session.add(row)
        try:
            self._session.flush()
        except IntegrityError as error:
            raise taken("counter", "name") from error
        return counter_of(row)

    def counters(
        self, institution_id: str, after: tuple[str, ...] | None, limit: int
    ) -> list[Counter]:
        """Returns counters of an open facility by name, from the one after `after` (name).

        Raises:
            MeshError: INSTITUTION_NOT_FOUND.
        """
        self._open(institution_id)
        query = select(CounterRow).where(CounterRow.institution_id == institution_id)
        if after is not None:
            query = query.where(CounterRow.name > after[0])
        query = query.order_by(CounterRow.name).limit(limit)
        return [counter_of(row) for row in self._session.scalars(query)]

    def _open(self, institution_id: str) -> InstitutionRow:
        row = self._session.get(InstitutionRow, institution_id)
        if row is None or row.close_time is not None:
            raise not_found("institution", institution_id)
        return row

    def _service_row(
        self, institution_id: str, service_id: str, *, lock: bool = False
    ) -> ServiceRow:
        row = self._session.get(ServiceRow, service_id, with_for_update=lock)
        if row is None or row.institution_id != institution_id:
            raise not_found("service", service_id)
        return row

"""A real queue service with a double of institution_svc and a clock that tests move."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import uuid4

import grpc
import pytest
from mediq.institution.v1.institution_pb2 import (
    Counter,
    HealthcareService,
    Institution,
    ServiceKind,
)
from mediq.institution.v1.institution_service_pb2 import FacilityFacts, GetFacilityFactsRequest
from mediq.policy.v1.policy_pb2 import Role, Scope
from mediq.queue.v1 import ticket_service_pb2 as requests
from mediq.queue.v1.queue_pb2 import Priority, Ticket, TicketStatus

from mesh.messaging.events import LocalBus
from mesh.rpc.pipeline import Context
from queue_svc.__main__ import wire
from queue_svc.servicers.dependencies import Dependencies
from queue_svc.settings import QueueSettings
from tests.queue_svc.stubs import QueueStub
from tests.support.audit import Collector, double
from tests.support.deadlines import patient_deadlines, patient_redis
from tests.support.mesh import Mesh, partly

if TYPE_CHECKING:
    from mesh.rpc.server import Server

__all__ = ["patient_deadlines", "patient_redis"]
Metadata = tuple[tuple[str, str], ...]
FACILITIES = "mediq.institution.v1.InstitutionService"
MORNING = datetime.datetime(2026, 3, 2, 2, 0, tzinfo=datetime.UTC)
"""A Monday, 09:00 in Jakarta."""
WAITING, CALLED, SERVING, DONE, SKIPPED, NO_SHOW, CANCELLED, TRANSFERRED = (
    TicketStatus.ValueType(number) for number in range(1, 9)
)
LOW, NORMAL, HIGH, URGENT = (Priority.ValueType(number) for number in range(1, 5))


def uid() -> str:
    """A new identifier."""
    return str(uuid4())


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = MORNING

    def __call__(self) -> datetime.datetime:
        return self.now

    def forward(self, **amount: float) -> None:
        """Moves the clock by a timedelta."""
        self.now += datetime.timedelta(**amount)


class Facilities:
    """Stands in for institution_svc."""

    def __init__(self) -> None:
        self.facts: dict[str, FacilityFacts] = {}
        self.services: dict[str, HealthcareService] = {}
        self.down = False
        self.asked = 0

    def open(self, zone: str = "Asia/Jakarta", counters: int = 8, minutes: int = 10) -> Place:
        """Adds a facility with a clinic and a pharmacy."""
        facility = uid()
        self.facts[facility] = facts = FacilityFacts(
            institution=Institution(id=facility, name="RSUD Contoh", time_zone=zone),
            counters=[
                Counter(id=uid(), institution_id=facility, name=f"Loket {number + 1}")
                for number in range(counters)
            ],
        )
        clinic = self.add(facility, "Poli Umum", "A", minutes)
        pharmacy = self.add(facility, "Apotek", "B", 5, ServiceKind.SERVICE_KIND_PHARMACY)
        return Place(facility, clinic, [one.id for one in facts.counters], pharmacy)

    def add(
        self,
        facility: str,
        name: str,
        prefix: str,
        minutes: int = 10,
        kind: ServiceKind.ValueType = ServiceKind.SERVICE_KIND_CLINIC,
    ) -> str:
        """Adds a service to a facility."""
        service = HealthcareService(
            id=uid(),
            institution_id=facility,
            name=name,
            prefix=prefix,
            service_minutes=minutes,
            kind=kind,
        )
        self.services[service.id] = service
        return service.id

    async def GetFacilityFacts(
        self, request: GetFacilityFactsRequest, context: Context
    ) -> FacilityFacts:
        self.asked += 1
        if self.down:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "down")
        facts = self.facts.get(request.institution_id)
        service = self.services.get(request.service_id)
        known = service is not None and service.institution_id == request.institution_id
        if facts is None or (request.service_id and not known):
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such place")
        assert facts is not None
        answer = FacilityFacts()
        answer.CopyFrom(facts)
        if service is not None:
            answer.service.CopyFrom(service)
        return answer


@dataclass(frozen=True)
class Place:
    """A facility with a clinic and a pharmacy."""

    facility: str
    service: str
    counters: list[str]
    pharmacy: str


@dataclass
class World:
    """Everything that a test of the service needs."""

    mesh: Mesh
    settings: QueueSettings
    clock: Clock
    facilities: Facilities
    place: Place
    stack: AsyncExitStack
    bus: LocalBus = field(default_factory=LocalBus)
    audit: Collector = field(default_factory=Collector)
    stub: QueueStub = field(init=False)
    internal: QueueStub = field(init=False)
    operator: Metadata = field(init=False)
    server: Server = field(init=False)
    dependencies: Dependencies = field(init=False)

    async def start(self) -> None:
        """Starts the service."""
        channels = self.mesh.channels("queue_svc")

        async def build(server: Server) -> None:
            self.dependencies = wire(server, channels, self.bus, self.clock)

        self.server = await self.stack.enter_async_context(self.mesh.serve(self.settings, build))
        edge = await self.stack.enter_async_context(self.mesh.channel("queue_svc"))
        saga = await self.stack.enter_async_context(self.mesh.channel("queue_svc", "ocr_svc"))
        self.stub, self.internal = QueueStub(edge), QueueStub(saga)
        self.operator = self.operator_of(self.place)

    def operator_of(self, place: Place) -> Metadata:
        """An operator of a facility."""
        return self.mesh.token(Role.ROLE_OPERATOR, institution_id=place.facility)

    def patient(self, subject: str) -> Metadata:
        """A patient's account."""
        return self.mesh.token(Role.ROLE_PASIEN, subject=subject)

    def session(self, subject: str) -> Metadata:
        """The short session that a registration ends with."""
        return self.mesh.token(scope=Scope.SCOPE_TICKETS, subject=subject)

    async def take(
        self,
        priority: Priority.ValueType = Priority.PRIORITY_UNSPECIFIED,
        patient: str = "",
        place: Place | None = None,
    ) -> Ticket:
        """A ticket for a patient, made at the counter."""
        place = place or self.place
        return await self.stub.CreateTicket(
            requests.CreateTicketRequest(
                institution_id=place.facility,
                service_id=place.service,
                patient_id=patient or uid(),
                priority=priority,
                priority_reason="sesak napas" if priority == URGENT else "",
            ),
            metadata=self.operator_of(place),
        )

    async def next(self, counter: int = 0, request_id: str = "") -> Ticket:
        """Calls the next patient to a counter."""
        return await self.stub.CallNextTicket(
            requests.CallNextTicketRequest(
                request_id=request_id,
                institution_id=self.place.facility,
                service_id=self.place.service,
                counter_id=self.place.counters[counter],
            ),
            metadata=self.operator,
        )

    async def call(self, ticket: Ticket, counter: int = 0) -> Ticket:
        """Calls one patient."""
        return await self.stub.CallTicket(
            requests.CallTicketRequest(id=ticket.id, counter_id=self.place.counters[counter]),
            metadata=self.operator,
        )

    async def move(
        self, ticket: Ticket, status: TicketStatus.ValueType, reason: str = ""
    ) -> Ticket:
        """Moves a ticket to another state."""
        return await self.stub.UpdateTicketStatus(
            requests.UpdateTicketStatusRequest(id=ticket.id, status=status, reason=reason),
            metadata=self.operator,
        )

    async def get(self, ticket: Ticket) -> Ticket:
        """The ticket now."""
        return await self.stub.GetTicket(
            requests.GetTicketRequest(id=ticket.id), metadata=self.operator
        )

    async def upcoming(self) -> list[str]:
        """Numbers in calling order."""
        page = await self.stub.ListUpcomingTickets(
            requests.ListUpcomingTicketsRequest(
                institution_id=self.place.facility, service_id=self.place.service
            ),
            metadata=self.operator,
        )
        return [ticket.number for ticket in page.tickets]


@asynccontextmanager
async def world_of(
    mesh: Mesh, url: str, migrate_at_start: bool = False, **settings: float
) -> AsyncIterator[World]:
    """A service on a database that has its tables, with settings of its own."""
    facilities = Facilities()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(
            mesh.double("institution_svc", (partly(FACILITIES), facilities))
        )
        world = World(
            mesh,
            QueueSettings(
                home=mesh.home,
                port=0,
                database_url=url,
                migrate_at_start=migrate_at_start,
                **settings,  # type: ignore[arg-type]
            ),
            Clock(),
            facilities,
            facilities.open(),
            stack,
        )
        await stack.enter_async_context(mesh.double("user_svc", double(world.audit)))
        await world.start()
        yield world


@pytest.fixture
def schema() -> str:
    """The tables of databases here."""
    return "queue_svc"


@pytest.fixture
async def world(mesh: Mesh, database_url: str) -> AsyncIterator[World]:
    """A service with one facility."""
    async with world_of(mesh, database_url, heartbeat_seconds=0.2) as made:
        yield made

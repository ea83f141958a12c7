"""The waiting lists in memory are those of the database, however they were brought up to date."""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from mesh.contract.access_scope import AccessScope
from mesh.encryption.field_cipher import FieldCipher
from mesh.errors import MeshError
from mesh.persistence.database import make_engine
from queue_svc.domain.days import active_days
from queue_svc.domain.estimates import WaitingList
from queue_svc.domain.rules import Rules
from queue_svc.domain.states import Priority, Status
from queue_svc.domain.tickets import Counter, Service, Ticket
from queue_svc.persistence.ticket_repository import NewTicket, TicketRepository
from queue_svc.persistence.waiting_lists import WaitingListProjection
from tests.queue_svc.conftest import MORNING, uid
from tests.queue_svc.samples import SERVICE
from tests.support.runs.depth import DEPTH

PHARMACY = Service("i", "RSUD", "Asia/Jakarta", "apotek", "Apotek", "B", 5)
SERVICES = (SERVICE, PHARMACY)
COUNTERS = [Counter(f"counter-{number}", f"Loket {number}") for number in range(3)]


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = make_engine(database_url)
    yield made
    made.dispose()


@dataclass
class Hall:
    """A hall in which anything may happen, and the replicas of the service that look at it."""

    engine: Engine
    chance: random.Random
    cipher: FieldCipher
    now: datetime.datetime = MORNING
    rules: Rules = field(default_factory=Rules)
    tickets: list[Ticket] = field(default_factory=list)
    replicas: list[WaitingListProjection] = field(init=False)

    def __post_init__(self) -> None:
        self.replicas = [WaitingListProjection(self.rules), WaitingListProjection(self.rules)]

    def store(self, session: Session, replica: int = 0) -> TicketRepository:
        return TicketRepository(
            session, AccessScope(), self.rules, self.cipher, self.replicas[replica]
        )

    def write(self, work: Callable[[TicketRepository], None], replica: int = 0) -> None:
        with Session(self.engine) as session, session.begin():
            store = self.store(session, replica)
            work(store)
            store.finish()
        # Now and then the mirror takes what was committed instead of reading it.
        if self.chance.random() < 0.5:
            self.replicas[replica].committed(store.made)

    def change(self) -> None:
        """Some changes in one transaction; often one that is refused."""
        self.now += datetime.timedelta(seconds=self.chance.choice([0, 0, 20, 90, 600]))
        self.write(self._some, self.chance.randrange(2))

    def same(self, replica: int) -> None:
        """The mirror of a replica equals what is read whole."""
        with Session(self.engine) as session:
            mirror = self.replicas[replica].read(session, SERVICES, self.now)
            fresh = {
                service.key: WaitingListProjection(self.rules).load_uncached(
                    session, service, self.now
                )
                for service in SERVICES
            }
        assert set(mirror) == {
            key for key, waiting_list in fresh.items() if waiting_list is not None
        }
        for key, waiting_list in mirror.items():
            whole = fresh[key]
            assert whole is not None
            assert waiting_list == whole

    def issue(self, store: TicketRepository, service: Service, count: int) -> None:
        issues = [NewTicket(uid(), self.chance.choice(list(Priority))) for _ in range(count)]
        found, _ = store.issue(service, issues, self.now)
        self.tickets += [one for one in found if isinstance(one, Ticket)]

    def _some(self, store: TicketRepository) -> None:
        if not self.tickets or self.chance.random() < 0.35:
            self.issue(store, self.chance.choice(SERVICES), self.chance.choice([1, 1, 4]))
            return
        for _ in range(self.chance.choice([1, 1, 3])):
            try:
                self._one(store)
            except MeshError as error:
                if error.reason not in (
                    *("QUEUE_EMPTY", "TRANSITION_NOT_ALLOWED", "TICKET_NOT_WAITING"),
                    *("CALLED_BY_OTHER_COUNTER", "RECALL_LIMIT", "SAME_SERVICE"),
                ):
                    raise

    def _one(self, store: TicketRepository) -> None:
        ticket, counter = self.chance.choice(self.tickets), self.chance.choice(COUNTERS)
        service = self.chance.choice(SERVICES)
        days = active_days(self.now, "Asia/Jakarta", self.rules.carry_hours)
        pick = self.chance.randrange(6)
        if pick == 0:
            store.call_next(service.key, days, counter, "me", self.now)
        elif pick == 1:
            store.call(ticket.id, counter, "me", self.now)
        elif pick == 2:
            priority = self.chance.choice(list(Priority))
            store.set_priority(ticket.id, priority, "alasan", "me", self.now)
        elif pick == 3 and not store.made:
            # As the service does it: a transfer has its transaction to itself.
            made = store.transfer(ticket.id, service, "", "me", self.now)
            self.tickets.append(made)
        else:
            store.move(ticket.id, self.chance.choice(list(Status)), "alasan", "me", self.now)


@pytest.fixture
def hall(engine: Engine, home_folder: Path) -> Hall:
    cipher = FieldCipher.load(home_folder / "keys", "queue_svc")
    return Hall(engine, random.Random(1), cipher)


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(2 * DEPTH))
def test_a_mirror_equals_a_fresh_read_after_random_changes(hall: Hall, seed: int) -> None:
    hall.chance.seed(seed)
    for _ in range(100):
        hall.change()
        hall.same(0)
    hall.same(1)
    assert len(hall.tickets) > 30


@pytest.mark.parametrize("most", [0, 1, 7, 1000])
def test_a_replica_that_looks_rarely_sees_the_same(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr("queue_svc.persistence.waiting_lists.CATCH_UP", most)
    for _ in range(12):
        for _ in range(hall.chance.randrange(1, 12)):
            hall.change()
        hall.same(1)
        hall.same(0)


def test_a_replica_with_room_for_one_queue_sees_the_same(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("queue_svc.persistence.waiting_lists.MAX_SNAPSHOTS", 1)
    # A snapshot that is about to be used must not be the one that is dropped.
    for _ in range(40):
        hall.change()
        hall.same(hall.chance.randrange(2))


def test_around_midnight_both_days_are_one_line(hall: Hall) -> None:
    hall.now = MORNING.replace(hour=15, minute=30)
    for _ in range(80):
        hall.change()
        hall.now += datetime.timedelta(minutes=2)
        hall.same(0)
    hall.same(1)


class Stop(Exception):
    """Takes back a unit of work."""


def test_what_was_taken_back_is_in_no_mirror(hall: Hall) -> None:
    for _ in range(20):
        hall.change()
    for _ in range(40):

        def fail(store: TicketRepository) -> None:
            hall.issue(store, hall.chance.choice(SERVICES), 3)
            raise Stop

        known = list(hall.tickets)
        with pytest.raises(Stop):
            hall.write(fail, hall.chance.randrange(2))
        hall.tickets = known
        hall.same(0)
        hall.same(1)
        hall.change()
        hall.same(0)


def test_a_first_ticket_that_was_taken_back_leaves_no_queue(hall: Hall) -> None:
    def fail(store: TicketRepository) -> None:
        hall.issue(store, SERVICE, 3)
        raise Stop

    with pytest.raises(Stop):
        hall.write(fail)
    hall.tickets.clear()
    hall.same(0)
    # The identifier of the queue may be given again, to another service.
    hall.write(lambda store: hall.issue(store, PHARMACY, 2))
    hall.write(lambda store: hall.issue(store, SERVICE, 1))
    for replica in (0, 1):
        hall.same(replica)


def test_a_batch_at_one_moment_counts_as_many_arrivals(hall: Hall) -> None:
    def arrivals() -> float:
        with Session(hall.engine) as session:
            waiting_list: WaitingList = hall.replicas[0].read(session, [SERVICE], hall.now)[
                SERVICE.key
            ]
        return sum(waiting_list.arrival_rates.values())

    hall.write(lambda store: hall.issue(store, SERVICE, 1))
    one = arrivals()
    hall.write(lambda store: hall.issue(store, SERVICE, 19))
    assert arrivals() == pytest.approx(20 * one)


def test_a_service_without_a_queue_has_no_line(hall: Hall) -> None:
    with Session(hall.engine) as session:
        assert hall.replicas[0].read(session, SERVICES, hall.now) == {}
        assert hall.replicas[0].load_uncached(session, SERVICE, hall.now) is None
        assert hall.replicas[0].read(session, [], hall.now) == {}

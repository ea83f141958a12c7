"""Rotation of the data key while the queue service runs."""

from pathlib import Path

import pytest
from mediq.queue.v1 import ticket_service_pb2 as requests
from mediq.queue.v1.queue_pb2 import Ticket

from queue_svc.persistence.models import Base
from tests.queue_svc.conftest import URGENT, WAITING, World, uid
from tests.support.encrypted import rotate_while_it_serves, undeclared_binaries
from tests.support.mesh import Mesh


@pytest.fixture
def mesh(home_copy: Path, quick_reencryption: None) -> Mesh:
    """A mesh whose keys this test may rotate."""
    return Mesh(home_copy)


def test_every_binary_column_is_declared() -> None:
    assert undeclared_binaries("queue_svc", Base.metadata) == set()


async def reasons(world: World, ticket: Ticket) -> list[str]:
    history = await world.stub.GetTicketHistory(
        requests.GetTicketHistoryRequest(id=ticket.id), metadata=world.operator
    )
    return [change.reason for change in history.changes]


async def test_everything_reads_after_a_rotation(world: World) -> None:
    key = uid()
    first = await world.take(URGENT)
    called = await world.next(request_id=key)
    await world.move(called, WAITING, "salah pasien")
    made: list[Ticket] = []

    async def load() -> None:
        ticket = await world.take(URGENT)
        made.append(ticket)
        assert await reasons(world, ticket) == ["sesak napas"]
        assert await reasons(world, first) == ["sesak napas", "", "salah pasien"]

    await rotate_while_it_serves("queue_svc", world.mesh.home, world.settings.database, load)
    assert len(made) > 1
    assert await reasons(world, first) == ["sesak napas", "", "salah pasien"]
    for ticket in made:
        assert await reasons(world, ticket) == ["sesak napas"]
    # The answer that was kept, not another patient.
    assert (await world.next(request_id=key)).id == first.id

"""Who waits, by priority, for tests of the order."""

from collections.abc import Iterable

from hypothesis import strategies as st

from queue_svc.domain.order import Waiting
from queue_svc.domain.states import Priority

NOW = 1_772_416_800.0
P = Priority


def someone(priority: Priority, waited_minutes: float, sequence: int = 1) -> Waiting:
    return Waiting(NOW - waited_minutes * 60, sequence, f"{priority.name}{sequence}", priority)


def group_by_priority(waiting: Iterable[Waiting]) -> dict[Priority, list[Waiting]]:
    members = sorted(waiting)
    return {kind: [one for one in members if one.priority is kind] for kind in P}


WAITING_LISTS = st.lists(
    st.tuples(
        st.sampled_from(P),
        # Whole minutes collide, so that ties are tried; some have not begun to wait.
        st.one_of(st.integers(-20, 200).map(float), st.floats(-20, 200)),
    ),
    max_size=40,
).map(lambda some: [someone(*one, sequence) for sequence, one in enumerate(some)])

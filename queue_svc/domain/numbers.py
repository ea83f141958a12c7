"""Counts and means of queues."""

from dataclasses import dataclass, field

from queue_svc.domain.tickets import AT_COUNTER, Status


@dataclass
class Tally:
    """Tickets by state, with sums of times."""

    counts: dict[Status, int] = field(default_factory=dict)
    wait_ms: int = 0
    """Sum over the called ones, from issue to first call."""
    called: int = 0
    """Tickets that were called."""
    service_ms: int = 0
    """Sum over the served ones."""
    served: int = 0
    """Tickets that were served."""

    def add(self, other: "Tally") -> None:
        """Adds another tally to this one."""
        for status, count in other.counts.items():
            self.counts[status] = self.counts.get(status, 0) + count
        self.wait_ms += other.wait_ms
        self.called += other.called
        self.service_ms += other.service_ms
        self.served += other.served

    def of(self, *statuses: Status) -> int:
        """Tickets in these states."""
        return sum(self.counts.get(status, 0) for status in statuses)

    @property
    def issued(self) -> int:
        """All tickets."""
        return sum(self.counts.values())

    @property
    def in_service(self) -> int:
        """Tickets that a counter holds."""
        return self.of(*AT_COUNTER)

    @property
    def mean_wait_ms(self) -> int | None:
        """Mean time from issue to first call; None when nobody was called."""
        return round(self.wait_ms / self.called) if self.called else None

    @property
    def mean_service_ms(self) -> int | None:
        """Mean time of service; None when nobody was served."""
        return round(self.service_ms / self.served) if self.served else None

"""An audit trail that tests write to, read and damage."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from mediq.audit.v1.audit_pb2 import AuditAct, AuditActor, AuditEvent
from mediq.policy.v1.policy_pb2 import Role
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from mesh.clock import timestamp
from mesh.encryption.field_cipher import FieldCipher
from user_svc.audit.chain import AuditChain, read_head
from user_svc.audit.report import Report
from user_svc.audit.verification import verify
from user_svc.domain.audit_trail import Head

NOW = datetime.datetime(2026, 3, 1, 8, 0, 0, 123456, tzinfo=datetime.UTC)
MINUTE = datetime.timedelta(minutes=1)
DATA_KEY = bytes(range(32))
CHAIN_KEY = bytes(range(1, 33))


def ids(count: int) -> list[str]:
    """New identifiers."""
    return [str(uuid4()) for _ in range(count)]


def event(
    *,
    act: AuditAct.ValueType = AuditAct.AUDIT_ACT_ACCESS,
    persons: Sequence[str] | None = None,
    actor: AuditActor | None = None,
    when: datetime.datetime = NOW,
    **fields: Any,
) -> AuditEvent:
    """Something that happened."""
    made = AuditEvent(
        occur_time=timestamp(when),
        service="queue_svc",
        method="GetTicket",
        act=act,
        actor=actor or AuditActor(id=str(uuid4()), role=Role.ROLE_OPERATOR, peer="edge"),
        person_ids=ids(1) if persons is None else persons,
    )
    made.id = fields.pop("id", str(uuid4()))
    made.MergeFrom(AuditEvent(**fields))
    return made


@dataclass
class AuditTrail:
    """The trail of one database."""

    url: str
    engine: Engine
    chain: AuditChain = field(
        default_factory=lambda: AuditChain(FieldCipher("k", {"k": DATA_KEY}, bytes(32)), CHAIN_KEY)
    )

    def append(self, *events: AuditEvent, now: datetime.datetime = NOW) -> int:
        """Appends events in a transaction."""
        options = {"mediq_read": False}
        with (
            self.engine.connect().execution_options(**options) as connection,
            Session(connection) as session,
            session.begin(),
        ):
            return self.chain.append(session, events, now)

    def fill(self, count: int) -> list[AuditEvent]:
        """Appends events, each with two persons."""
        events = [event(persons=ids(2), reason=f"event {number}") for number in range(count)]
        assert self.append(*events) == count
        return events

    def head(self) -> Head:
        """The end of the trail."""
        with self.engine.connect() as connection, Session(connection) as session:
            return read_head(session)

    def sql(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        """Runs a statement, as somebody who can write to the database."""
        with self.engine.begin() as connection:
            found = connection.execute(text(statement), values)
            return [tuple(row) for row in found] if found.returns_rows else []

    def verify(self, *paths: Path, heads: Sequence[Head] = ()) -> Report:
        """Verifies the trail."""
        return verify(self.engine, self.chain, paths, heads)

    def faults(self, *paths: Path, heads: Sequence[Head] = ()) -> dict[str, int]:
        """What a verification finds, counted."""
        return plain(self.verify(*paths, heads=heads).counts)


def plain(counts: Counter[Any]) -> dict[str, int]:
    """Counts by name."""
    return {str(fault): count for fault, count in counts.items()}

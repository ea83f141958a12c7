"""Whether the audit trail is what was written: chain, columns, persons, head, anchors.

Reads one snapshot in pieces, so its memory does not grow with the trail, and changes nothing.
"""

import datetime
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from mediq.audit.v1.audit_pb2 import AuditEvent
from sqlalchemy import ColumnElement, Connection, Engine, Row, func, select, type_coerce
from sqlalchemy.types import NullType

from mesh.encryption.field_cipher import DecryptionError
from mesh.errors import MeshError
from user_svc.audit.anchors import Anchor, AnchorFile, find_files
from user_svc.audit.chain import AuditChain, columns_of, persons_of
from user_svc.audit.report import Fault, Report
from user_svc.domain.audit_trail import EMPTY, MAX_POSITION, Head
from user_svc.persistence.audit_models import AUDIT_ENTRIES, AUDIT_HEAD, AUDIT_PERSONS, HEAD_ID

PIECE = 500
"""Positions, and anchors, that are read at once."""
_ENTRY = AUDIT_ENTRIES.c
_PERSON = AUDIT_PERSONS.c
# As the driver gives them: SQLite keeps anything in any column, and SQLAlchemy would stop at it.
_RAW: list[ColumnElement[Any]] = [
    type_coerce(column, NullType()).label(column.name) for column in AUDIT_ENTRIES.c
]


def verify(
    engine: Engine, chain: AuditChain, paths: Sequence[Path] = (), heads: Sequence[Head] = ()
) -> Report:
    """Verifies the whole trail.

    Args:
        engine: The service's database.
        chain: Has the keys.
        paths: Files of anchors, and folders of them.
        heads: Anchors that were kept elsewhere.

    Raises:
        FileNotFoundError: A path does not exist.
        OSError: A file of anchors cannot be read.
        SQLAlchemyError: The database does not answer, or has no trail.
    """
    # Before the snapshot: an anchor that is written later may name an entry that it does not have.
    files = find_files(paths)
    report = Report()
    with _snapshot(engine) as connection:
        _Walk(connection, chain, report).run()
        _doubles(connection, report)
        _head(connection, report)
        _compare_files(connection, files, report)
        _compare(connection, [(head, "the head that was given") for head in heads], report)
    return report


@contextmanager
def _snapshot(engine: Engine) -> Iterator[Connection]:
    """Opens one state of the database, whatever is appended meanwhile."""
    with engine.connect() as connection:
        connection.execution_options(mediq_read=True)
        if engine.dialect.name != "sqlite":
            connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            yield connection


class _Walk:
    """Goes along the chain.

    An entry is compared with the HMAC that stands before it, so that one change is found where it
    is and not at every entry behind it.
    """

    def __init__(self, connection: Connection, chain: AuditChain, report: Report) -> None:
        self._connection = connection
        self._chain = chain
        self._report = report
        self._before = EMPTY

    def run(self) -> None:
        """Verifies every entry and every row of audit_persons."""
        done: int | None = None
        while (low := self._next(done)) is not None:
            high = min(low + PIECE - 1, MAX_POSITION)
            persons = self._persons(done, high)
            piece = select(*_RAW).where(_ENTRY.position.between(low, high))
            for row in self._connection.execute(piece.order_by(_ENTRY.position)):
                self._entry(row, persons.pop(row.position, set()))
            for position, extra in persons.items():
                self._extra(position, len(extra))
            done = high
        rest = select(_PERSON.position, func.count().label("rows")).group_by(_PERSON.position)
        if done is not None:
            rest = rest.where(_PERSON.position > done)
        for row in self._connection.execute(rest.execution_options(yield_per=PIECE)):
            self._extra(row.position, row.rows)
        self._report.last = self._before

    def _next(self, done: int | None) -> int | None:
        """Returns the first position behind `done`."""
        query = select(func.min(_ENTRY.position))
        if done is not None:
            query = query.where(_ENTRY.position > done)
        found: int | None = self._connection.execute(query).scalar_one()
        return found

    def _persons(self, done: int | None, high: int) -> dict[int, set[str]]:
        """Reads persons by position, behind `done` and up to `high`."""
        query = select(_PERSON.position, _PERSON.person_id).where(_PERSON.position <= high)
        if done is not None:
            query = query.where(_PERSON.position > done)
        found: defaultdict[int, set[str]] = defaultdict(set)
        for row in self._connection.execute(query):
            found[row.position].add(row.person_id)
        return dict(found)

    def _entry(self, row: Row[Any], persons: set[str]) -> None:
        position, due = row.position, self._before.position + 1
        if position > due:
            detail = f"{due} is" if position == due + 1 else f"{due} to {position - 1} are"
            self._report.add(Fault.GAP, due, f"{detail} missing")
        elif position < due:
            self._report.add(Fault.POSITION, position, "there twice, or below 1")
        self._report.entries += 1
        mac_before, self._before = self._before.mac, Head(position, str(row.mac))
        try:
            plain = self._chain.decrypt(row.event_id, row.payload)
        except (DecryptionError, TypeError, AttributeError):
            self._report.add(Fault.PAYLOAD, position, "the event does not decrypt")
            return
        record_time = _time(row.record_time)
        if (
            record_time is None
            or self._chain.mac(position, record_time, plain, mac_before) != row.mac
        ):
            self._report.add(Fault.MAC, position, "changed, moved, or not made with this key")
        try:
            event = AuditEvent.FromString(plain)
            columns = columns_of(event)
        except (DecodeError, MeshError):
            self._report.add(Fault.PAYLOAD, position, "the event cannot be read")
            return
        found = dict(row._mapping) | {"occur_time": _time(row.occur_time)}
        for name, value in columns.items():
            if found[name] != value:
                self._report.add(Fault.COLUMN, position, f"{name} is not that of the event")
        expected = set(persons_of(event))
        if missing := len(expected - persons):
            self._report.add(Fault.PERSON_MISSING, position, f"{missing} of its persons")
        if extra := len(persons - expected):
            self._extra(position, extra)

    def _extra(self, position: object, count: int) -> None:
        where = position if isinstance(position, int) else None
        self._report.add(Fault.PERSON_EXTRA, where, f"{count} that no event names")


def _time(raw: object) -> datetime.datetime | None:
    """Returns a time of the driver, which for SQLite is a text; None when it is none."""
    try:
        found = datetime.datetime.fromisoformat(raw) if isinstance(raw, str) else raw
    except ValueError:
        return None
    return found.replace(tzinfo=datetime.UTC) if isinstance(found, datetime.datetime) else None


def _doubles(connection: Connection, report: Report) -> None:
    query = (
        select(func.max(_ENTRY.position).label("position"))
        .group_by(_ENTRY.event_id)
        .having(func.count() > 1)
    )
    for row in connection.execute(query.execution_options(yield_per=PIECE)):
        report.add(Fault.DOUBLE, row.position, "its event is at another position too")


def _head(connection: Connection, report: Report) -> None:
    rows = connection.execute(select(AUDIT_HEAD).limit(PIECE)).all()
    last = report.last
    if [row.id for row in rows] != [HEAD_ID] or not isinstance(rows[0].position, int):
        report.add(Fault.HEAD, last.position, "there is not one head row with a position")
        return
    head = Head(rows[0].position, rows[0].mac)
    if head.position != last.position:
        detail = f"the head row says {head.position}, the last entry is {last.position}"
        report.add(Fault.HEAD, min(head.position, last.position) + 1, detail)
    elif head.mac != last.mac:
        report.add(Fault.HEAD, last.position, "the head row has another HMAC than the last entry")


def _compare_files(connection: Connection, files: Sequence[AnchorFile], report: Report) -> None:
    for file in files:
        lines = file.lines()
        while piece := list(islice(lines, PIECE)):
            anchors: list[tuple[Head, str]] = []
            for line in piece:
                if isinstance(line, Anchor):
                    anchors.append((line.head, file.path.name))
                    newest = report.newest_anchor
                    if newest is None or line.head.position > newest.head.position:
                        report.newest_anchor = line
                elif line.crash:
                    report.warnings.append(f"{file.path}: line {line.line} is torn, by a crash")
                else:
                    detail = f"{file.path}: line {line.line} is damaged"
                    report.add(Fault.ANCHOR_LINE, None, detail)
            _compare(connection, anchors, report)


def _compare(connection: Connection, anchors: Sequence[tuple[Head, str]], report: Report) -> None:
    """Looks each anchor up; the text beside it says where it is from."""
    positions = {anchor.position for anchor, _ in anchors}
    query = select(_ENTRY.position, _ENTRY.mac).where(_ENTRY.position.in_(positions))
    found = {row.position: row.mac for row in connection.execute(query)}
    for anchor, source in anchors:
        report.anchors += 1
        position, mac = anchor.position, found.get(anchor.position)
        if mac == anchor.mac:
            continue
        if mac is not None:
            report.add(Fault.ANCHOR, position, f"another HMAC than in {source}")
        elif position > report.last.position:
            detail = f"in {source}, the last entry is {report.last.position}"
            report.add(Fault.SHORT, report.last.position + 1, f"{position} is {detail}")
        else:
            report.add(Fault.ANCHOR, position, f"missing, but in {source}")

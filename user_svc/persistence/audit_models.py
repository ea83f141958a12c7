"""The tables of the audit trail: entries, the persons in them, and the head."""

from sqlalchemy import (
    CHAR,
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
)
from sqlalchemy.dialects import mysql

from mesh.audit_trail.recorder import audit_table
from mesh.persistence.database import UtcDateTime
from user_svc.persistence.models import Base

TIME_INDEX = "ix_audit_entries_time"
HEAD_ID = 1
"""Identifier of the one row of the head."""
# The most persons and objects that a contract allows are 77,000 bytes, more than a BLOB of MySQL.
_PAYLOAD = LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql")
# SQLite keeps rows in the order of an INTEGER key, and of no other one.
_POSITION = BigInteger().with_variant(Integer, "sqlite")

AUDIT_ENTRIES = Table(
    "audit_entries",
    Base.metadata,
    Column("position", _POSITION, primary_key=True, autoincrement=False),
    Column("event_id", String(36), nullable=False, unique=True),
    Column("record_time", UtcDateTime(), nullable=False),
    Column("occur_time", UtcDateTime(), nullable=False),
    Column("act", SmallInteger, nullable=False),
    Column("actor_id", String(36), nullable=False),
    Column("institution_id", String(36), nullable=False),
    Column("payload", _PAYLOAD, nullable=False),
    Column("mac", CHAR(64), nullable=False),
    Index("ix_audit_entries_actor", "actor_id", "position"),
    Index("ix_audit_entries_institution", "institution_id", "position"),
    # All that a query by time needs, so that it reads no payload.
    Index(TIME_INDEX, "occur_time", "act", "institution_id", "actor_id"),
)
"""What happened. `payload` is the serialized AuditEvent, encrypted for `audit/EVENT_ID`; the other
columns repeat what is looked up, with identifiers in lower case."""

AUDIT_PERSONS = Table(
    "audit_persons",
    Base.metadata,
    Column("person_id", String(36), primary_key=True),
    Column("position", _POSITION, primary_key=True, autoincrement=False, index=True),
)
"""The persons of each entry."""

AUDIT_OUTBOX = audit_table(Base.metadata)
"""What the account service itself showed and did, on its way into the trail."""

AUDIT_HEAD = Table(
    "audit_head",
    Base.metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("position", _POSITION, nullable=False),
    Column("mac", CHAR(64), nullable=False),
)
"""The end of the trail. The lock of its row orders all appends."""

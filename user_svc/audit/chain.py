"""The chain of the audit trail: every entry's HMAC covers the entry before.

docs/compliance/audit.md has the format, so that somebody else can write a verifier.
"""

import datetime
import hashlib
import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from mediq.audit.v1.audit_pb2 import AuditEntry, AuditEvent
from sqlalchemy import Row, insert, select, update
from sqlalchemy.orm import Session

from mesh.audit_trail.key import load_audit_key
from mesh.audit_trail.recorder import event_associated_data
from mesh.clock import timestamp
from mesh.encryption.field_cipher import DecryptionError, FieldCipher
from mesh.errors import MeshError
from user_svc.domain.audit_trail import Head
from user_svc.messages.audit import time_of
from user_svc.persistence.audit_models import AUDIT_ENTRIES, AUDIT_HEAD, AUDIT_PERSONS, HEAD_ID

FORMAT = b"mediq.audit.v1\n"
"""What every HMAC begins with: another form would have another name."""
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


def columns_of(event: AuditEvent) -> dict[str, Any]:
    """Returns what the plain columns of an entry repeat of its event.

    Raises:
        MeshError: INVALID_ARGUMENT with reason TIME_INVALID.
    """
    return {
        "event_id": event.id.lower(),
        "occur_time": time_of(event.occur_time, "occur_time"),
        "act": int(event.act),
        "actor_id": event.actor.id.lower(),
        "institution_id": event.institution_id.lower(),
    }


def persons_of(event: AuditEvent) -> list[str]:
    """Returns the persons of an event, each once."""
    return list(dict.fromkeys(person.lower() for person in event.person_ids))


def read_head(session: Session) -> Head:
    """Returns the end of the trail, as the last append left it.

    Raises:
        MeshError: INTERNAL with reason AUDIT_HEAD_LOST.
    """
    return _head(session, lock=False)


def _head(session: Session, *, lock: bool) -> Head:
    query = select(AUDIT_HEAD).where(AUDIT_HEAD.c.id == HEAD_ID)
    row = session.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        # To go on from the last entry would hide that somebody was here.
        raise MeshError("the head of the audit trail is gone", reason="AUDIT_HEAD_LOST")
    return Head(row.position, row.mac)


@dataclass(frozen=True)
class _Prepared:
    """Holds an event that has no position yet."""

    columns: dict[str, Any]
    persons: list[str]
    plain: bytes
    payload: bytes


class AuditChain:
    """Appends events to the trail and opens its entries."""

    def __init__(self, cipher: FieldCipher, key: bytes) -> None:
        """Takes the keys.

        Args:
            cipher: Encrypts the events.
            key: Key of the HMACs, 32 bytes.
        """
        self._cipher = cipher
        self._key = key

    @classmethod
    def load(cls, folder: Path, service: str) -> "AuditChain":
        """Loads the chain with the keys in the key folder.

        Raises:
            FileNotFoundError: A key does not exist.
            KeyFolderError: The file of the chain's key is damaged.
        """
        return cls(FieldCipher.load(folder, service), load_audit_key(folder))

    def append(self, session: Session, events: Sequence[AuditEvent], now: datetime.datetime) -> int:
        """Takes events into the trail, in order, in the caller's transaction.

        Locks the head until the transaction ends, so one append follows the other. Events that
        are in the trail already are passed over, and so are repetitions in `events`.

        Args:
            session: Where the transaction is. What it does after this holds up other appends.
            events: What happened, as the contract's rules allow it.
            now: When the entries come into the trail.

        Returns:
            How many events were new.

        Raises:
            MeshError: INVALID_ARGUMENT with reason TIME_INVALID; INTERNAL with AUDIT_HEAD_LOST.
        """
        # Everything that needs no position is done before the lock.
        new = self._prepare(events)
        if not new:
            return 0
        head = _head(session, lock=True)
        known = select(AUDIT_ENTRIES.c.event_id).where(AUDIT_ENTRIES.c.event_id.in_(new))
        for event_id in session.scalars(known).all():
            del new[event_id]
        if not new:
            return 0
        entries, persons = [], []
        for one in new.values():
            position = head.position + 1
            mac = self.mac(position, now, one.plain, head.mac)
            link = {"position": position, "record_time": now, "mac": mac}
            entries.append({**one.columns, "payload": one.payload, **link})
            persons += [{"person_id": person, "position": position} for person in one.persons]
            head = Head(position, mac)
        session.execute(insert(AUDIT_ENTRIES), entries)
        if persons:
            session.execute(insert(AUDIT_PERSONS), persons)
        session.execute(
            update(AUDIT_HEAD)
            .where(AUDIT_HEAD.c.id == HEAD_ID)
            .values(position=head.position, mac=head.mac)
        )
        return len(entries)

    def _prepare(self, events: Sequence[AuditEvent]) -> dict[str, _Prepared]:
        """Events by identifier, in order; of two with one identifier the first one counts."""
        found: dict[str, _Prepared] = {}
        for event in events:
            columns = columns_of(event)
            event_id: str = columns["event_id"]
            if event_id not in found:
                plain = event.SerializeToString(deterministic=True)
                payload = self._cipher.encrypt(plain, event_associated_data(event_id))
                found[event_id] = _Prepared(columns, persons_of(event), plain, payload)
        return found

    def mac(
        self, position: int, record_time: datetime.datetime, event: bytes, mac_before: str
    ) -> str:
        """Returns the HMAC of an entry, 64 hexadecimal digits.

        Args:
            position: Position in the trail.
            record_time: When it came into the trail; counts to the microsecond.
            event: The serialized event, not encrypted.
            mac_before: HMAC of the entry before; FIRST_MAC for the first one.
        """
        numbers = (position, (record_time - _EPOCH) // _MICROSECOND, len(event))
        text = FORMAT + struct.pack(">qqq", *numbers) + event + mac_before.encode()
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()

    def decrypt(self, event_id: str, payload: bytes) -> bytes:
        """Decrypts the serialized event of an entry.

        Raises:
            DecryptionError: Damaged, of another entry, or the data key is gone.
        """
        return self._cipher.decrypt(payload, event_associated_data(event_id))

    def entry(self, row: Row[Any]) -> AuditEntry:
        """Returns the entry of a row of AUDIT_ENTRIES.

        Raises:
            MeshError: INTERNAL with reason AUDIT_ENTRY_DAMAGED.
        """
        try:
            event = AuditEvent.FromString(self.decrypt(row.event_id, row.payload))
        except (DecryptionError, DecodeError) as error:
            raise MeshError(
                "an entry of the audit trail cannot be read: run mediq audit verify",
                reason="AUDIT_ENTRY_DAMAGED",
                metadata={"position": str(row.position)},
            ) from error
        return AuditEntry(
            position=row.position,
            record_time=timestamp(row.record_time),
            event=event,
            mac=row.mac,
        )

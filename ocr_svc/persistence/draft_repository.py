"""Drafts, read and written in one unit of work."""

import datetime

from pydantic import TypeAdapter
from sqlalchemy import Update, delete, select, update
from sqlalchemy.orm import Session

from mesh.encryption.field_cipher import FieldCipher
from mesh.workflow.leases import changes_a_row
from ocr_svc.domain.draft import Content, Draft
from ocr_svc.persistence.models import DraftRow

KEPT_HOURS = 24
"""How long after its end a draft's row, without content, still tells that there was one, and its
request_id is known."""
_CONTENT: TypeAdapter[Content] = TypeAdapter(Content)


def reading_associated_data(draft_id: str) -> str:
    """Returns what a reading is bound to, so that it cannot be moved to another draft."""
    return f"drafts/{draft_id}/reading"


class DraftRepository:
    """Reads and writes drafts in one unit of work."""

    def __init__(self, session: Session, cipher: FieldCipher) -> None:
        """Works in `session`; encrypts with `cipher`."""
        self._session = session
        self._cipher = cipher

    def add(self, draft: Draft, request_id: str, fingerprint: str, now: datetime.datetime) -> None:
        """Adds a draft.

        Args:
            draft: The draft, with its content.
            request_id: Key of the upload. Empty: it has none.
            fingerprint: Of the photo.
            now: When it was uploaded.

        Raises:
            IntegrityError: Another upload with this request_id was faster.
        """
        assert draft.content is not None
        self._session.add(
            DraftRow(
                id=draft.id,
                request_id=request_id or None,
                fingerprint=fingerprint,
                reading=self._encrypted(draft.id, draft.content),
                version=draft.version,
                create_time=now,
                expire_time=draft.expire_time,
            )
        )
        self._session.flush()

    def of_upload(self, request_id: str) -> tuple[Draft, str] | None:
        """Returns the draft of an earlier upload with this request_id, and its photo's fingerprint.

        None when there is no such upload.
        """
        query = select(DraftRow).where(DraftRow.request_id == request_id)
        row = self._session.scalars(query).one_or_none()
        return None if row is None else (self._draft(row), row.fingerprint)

    def get(self, draft_id: str) -> Draft | None:
        """Returns a draft, in whatever state; None when there is none."""
        row = self._session.get(DraftRow, draft_id)
        return None if row is None else self._draft(row)

    def replace_content(self, draft: Draft, content: Content) -> bool:
        """Changes a draft; returns False when it has changed since it was read: nothing happens."""
        return changes_a_row(
            self._session,
            _unchanged(draft).values(
                reading=self._encrypted(draft.id, content), version=draft.version + 1
            ),
        )

    def confirm(self, draft: Draft, now: datetime.datetime) -> bool:
        """Erases the content of a draft that is confirmed.

        Returns:
            False when it has changed since it was read: nothing happens.
        """
        return changes_a_row(
            self._session,
            _unchanged(draft).values(reading=None, version=draft.version + 1, confirm_time=now),
        )

    def erase_ended(self, now: datetime.datetime) -> None:
        """Erases the content of drafts that have ended, and rows that nobody asks for any more."""
        self._session.execute(
            update(DraftRow)
            .where(DraftRow.expire_time <= now, DraftRow.reading.is_not(None))
            .values(reading=None, version=DraftRow.version + 1)
        )
        oldest = now - datetime.timedelta(hours=KEPT_HOURS)
        self._session.execute(delete(DraftRow).where(DraftRow.expire_time <= oldest))

    def _encrypted(self, draft_id: str, content: Content) -> bytes:
        plain = _CONTENT.dump_json(content)
        return self._cipher.encrypt(plain, reading_associated_data(draft_id))

    def _draft(self, row: DraftRow) -> Draft:
        content = None
        if row.reading is not None:
            plain = self._cipher.decrypt(row.reading, reading_associated_data(row.id))
            content = _CONTENT.validate_json(plain)
        return Draft(row.id, row.expire_time, row.version, content, row.confirm_time is not None)


def _unchanged(draft: Draft) -> Update:
    return update(DraftRow).where(DraftRow.id == draft.id, DraftRow.version == draft.version)

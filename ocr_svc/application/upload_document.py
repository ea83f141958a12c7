"""The use case that makes a draft from the photo of a card."""

import asyncio
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from mediq.ocr.v1 import registration_service_pb2 as messages
from mediq.user.v1.auth_service_pb2 import NarrowSession
from sqlalchemy.exc import IntegrityError

from mesh.clock import Clock
from mesh.errors import reused_request_id
from ocr_svc.adapters.accounts import Accounts
from ocr_svc.adapters.card_reader import CardReader
from ocr_svc.application.unit_of_work import UnitOfWork, UnitsOfWork
from ocr_svc.domain.draft import Content, Draft, require_content


@dataclass(frozen=True)
class UploadDocument:
    """Asks for a draft."""

    request_id: str
    """Key of the upload. Empty: it has none."""
    photo: bytes


@dataclass(frozen=True)
class OpenDraft:
    """Holds a draft, and the session that opens it."""

    draft: Draft
    session: NarrowSession


class UploadHandler:
    """Reads cards and keeps what stands on them as drafts."""

    def __init__(
        self,
        units: UnitsOfWork,
        reader: CardReader,
        accounts: Accounts,
        clock: Clock,
        draft_minutes: float,
    ) -> None:
        """Works in units of work.

        Args:
            units: Opens the drafts.
            reader: Reads the cards.
            accounts: Opens the sessions.
            clock: Gives the time.
            draft_minutes: How long a draft waits for its confirmation.
        """
        self._units = units
        self._reader = reader
        self._accounts = accounts
        self._clock = clock
        self._draft_time = timedelta(minutes=draft_minutes)

    async def upload(self, command: UploadDocument) -> OpenDraft:
        """Makes a draft, or returns the one that the same upload made before.

        Raises:
            MeshError: REQUEST_ID_REUSED, DRAFT_CONFIRMED, DRAFT_EXPIRED, or what the engine or
                user_svc raises.
        """
        # Megabytes are hashed beside the event loop.
        fingerprint = await asyncio.to_thread(self._units.fingerprint, command.photo)
        draft = await self._uploaded(command.request_id, fingerprint)
        if draft is None:
            return await self._read_card(command, fingerprint)
        return await self._open_again(draft, self._clock())

    async def _uploaded(self, request_id: str, fingerprint: str) -> Draft | None:
        """Returns the draft that this upload made before; None when there is none.

        The method is public: whoever has the request_id may ask. That alone opens no draft, the
        photo must be the same, byte for byte; who has both holds the card's picture already, and
        could upload it under a key of their own. The photo counts and not the form around it: a
        browser that repeats a request chooses another boundary.

        Raises:
            MeshError: ALREADY_EXISTS with REQUEST_ID_REUSED.
        """
        if not request_id:
            return None
        found = await self._units.read(lambda unit: unit.drafts.of_upload(request_id))
        if found is None:
            return None
        draft, known = found
        if known != fingerprint:
            raise reused_request_id()
        return draft

    async def _open_again(self, draft: Draft, now: datetime) -> OpenDraft:
        require_content(draft, draft.id, now)
        return OpenDraft(draft, await self._accounts.registration_session(draft.id))

    async def _read_card(self, command: UploadDocument, fingerprint: str) -> OpenDraft:
        """Reads the card and opens the session at the same time; one failure ends both."""
        draft_id = str(uuid.uuid4())
        reading_task = asyncio.create_task(self._reader.read(command.photo))
        session_task = asyncio.create_task(self._accounts.registration_session(draft_id))
        try:
            reading, session = await asyncio.gather(reading_task, session_task)
        finally:
            reading_task.cancel()
            session_task.cancel()
        now = self._clock()
        content = Content(reading, reading.warnings)
        draft = Draft(draft_id, now + self._draft_time, 1, content)
        try:
            await self._units.write(add_draft, draft, command.request_id, fingerprint, now)
        except IntegrityError:
            # The same upload at the same moment: the other one won, its draft counts.
            other = await self._uploaded(command.request_id, fingerprint)
            if other is None:
                raise
            return await self._open_again(other, now)
        return OpenDraft(draft, session)


def add_draft(
    unit: UnitOfWork, draft: Draft, request_id: str, fingerprint: str, now: datetime
) -> None:
    """Adds a draft and writes it down in the audit trail.

    Raises:
        IntegrityError: Another upload with this request_id was faster.
    """
    unit.drafts.add(draft, request_id, fingerprint, now)
    unit.record_change(messages.Draft(id=draft.id))

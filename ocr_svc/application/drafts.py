"""The use cases of a draft until it is confirmed: show, correct, erase."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from google.protobuf.message import Message
from mediq.ocr.v1 import registration_service_pb2 as messages

from mesh.clock import Clock
from mesh.errors import MeshError, StatusCode, reused_request_id
from mesh.observability.logs import logger
from ocr_svc.adapters.card_reader import CardReader
from ocr_svc.application.unit_of_work import UnitOfWork, UnitsOfWork
from ocr_svc.domain.draft import (
    Content,
    Draft,
    correct,
    require_content,
    with_warnings,
)
from ocr_svc.domain.reading import CardWarning

ATTEMPTS = 5
"""Tries of a change to a draft that another change overtook."""


@dataclass(frozen=True)
class UpdateDraft:
    """Asks for corrections."""

    draft_id: str
    request_id: str
    """Empty: the request has no key."""
    request: Message
    """The whole request, by which a repeated one is known."""
    changes: Mapping[str, str]
    """New values by field."""


class DraftHandler:
    """Shows drafts, corrects them, and erases those that have ended."""

    def __init__(self, units: UnitsOfWork, reader: CardReader, clock: Clock) -> None:
        """Works in units of work.

        Args:
            units: Opens the drafts.
            reader: Says what is doubtful about corrected fields.
            clock: Gives the time.
        """
        self._units = units
        self._reader = reader
        self._clock = clock

    async def get(self, draft_id: str) -> Draft:
        """Returns a draft that waits for its confirmation.

        Raises:
            MeshError: DRAFT_NOT_FOUND, DRAFT_CONFIRMED or DRAFT_EXPIRED.
        """
        draft, _ = await self._open(draft_id)
        return draft

    async def update(self, command: UpdateDraft) -> Draft:
        """Corrects fields of a draft, once a request.

        Raises:
            MeshError: As `get` and `correct`, REQUEST_ID_REUSED, or DRAFT_CHANGED when others
                change it all the time.
        """
        body = command.request.SerializeToString(deterministic=True)
        fingerprint = self._units.fingerprint(body)
        for _ in range(ATTEMPTS):
            draft, content = await self._open(command.draft_id)
            known = content.updates.get(command.request_id)
            if known == fingerprint:
                return draft
            if known is not None:
                raise reused_request_id()
            changed = correct(
                content, command.changes, command.request_id, fingerprint, self._clock()
            )
            changed = with_warnings(changed, await self._validate(changed))
            if await self._units.write(replace_content, draft, changed):
                return replace(draft, content=changed)
        raise overtaken()

    async def erase_ended(self) -> None:
        """Erases the content of drafts that have ended, and rows that nobody asks for any more."""
        now = self._clock()
        await self._units.write(lambda unit: unit.drafts.erase_ended(now))

    async def _open(self, draft_id: str) -> tuple[Draft, Content]:
        draft = await self._units.read(lambda unit: unit.drafts.get(draft_id))
        content = require_content(draft, draft_id, self._clock())
        assert draft is not None
        return draft, content

    async def _validate(self, content: Content) -> tuple[CardWarning, ...] | None:
        try:
            return await self._reader.validate(content)
        except MeshError as error:
            logger().warning("correction not validated", reason=error.reason)
            return None


def replace_content(unit: UnitOfWork, draft: Draft, content: Content) -> bool:
    """Changes a draft and writes that into the audit trail.

    Returns:
        False when the draft has changed since it was read: nothing happens.
    """
    replaced = unit.drafts.replace_content(draft, content)
    if replaced:
        unit.record_change(messages.Draft(id=draft.id))
    return replaced


def overtaken() -> MeshError:
    """Returns the error for a draft that others change all the time."""
    return MeshError("the draft is being changed elsewhere", StatusCode.ABORTED, "DRAFT_CHANGED")

"""The use cases that show a registration."""

import asyncio
from dataclasses import dataclass

from mediq.user.v1.auth_service_pb2 import NarrowSession

from mesh.errors import MeshError, not_found
from mesh.observability.logs import logger
from ocr_svc.adapters.accounts import Accounts
from ocr_svc.application.unit_of_work import UnitsOfWork
from ocr_svc.domain.registration import Registration, State

SESSION_SECONDS = 1.0
"""How long a registration's answer waits for the tickets session."""


@dataclass(frozen=True)
class RegistrationView:
    """Holds a registration as it is shown.

    The ticket is the one that was issued, as stored. Asking queue_svc again under the same key
    would show the same first answer, fail while it is down, and issue a second ticket when it
    has forgotten the key. The live state is WatchTicket's, with the session that comes along.
    """

    registration: Registration
    session: NarrowSession | None
    """Opens the tickets of the person. None: there is no ticket, or no session could be had."""


class RegistrationReads:
    """Shows registrations."""

    def __init__(self, units: UnitsOfWork, accounts: Accounts) -> None:
        """Reads in units of work; `accounts` opens the sessions."""
        self._units = units
        self._accounts = accounts

    async def get(self, draft_id: str) -> RegistrationView:
        """Returns the registration of a draft.

        Raises:
            MeshError: REGISTRATION_NOT_FOUND.
        """
        found = await self._units.read(lambda unit: unit.registrations.of_draft(draft_id))
        if found is None:
            raise not_found("registration", draft_id)
        return await self.with_session(found)

    async def with_session(self, registration: Registration) -> RegistrationView:
        """Returns a registration with a session for its tickets once it is completed."""
        if registration.state is not State.COMPLETED:
            return RegistrationView(registration, None)
        return RegistrationView(registration, await self._tickets_session(registration.user_id))

    async def _tickets_session(self, user_id: str) -> NarrowSession | None:
        """Opens a session, never stored. None when it cannot be had: the ticket is there anyway."""
        try:
            async with asyncio.timeout(SESSION_SECONDS):
                return await self._accounts.tickets_session(user_id)
        except (MeshError, TimeoutError) as error:
            logger().warning("no tickets session", reason=getattr(error, "reason", "TIMEOUT"))
            return None

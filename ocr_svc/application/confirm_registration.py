"""The use case that turns a draft into a registration, and waits for its ticket."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from google.protobuf.message import Message
from mediq.ocr.v1 import registration_service_pb2 as messages

from mesh.clock import Clock
from mesh.errors import MeshError, StatusCode
from ocr_svc.adapters.facilities import Facilities
from ocr_svc.application.drafts import ATTEMPTS, overtaken
from ocr_svc.application.registration_reads import RegistrationReads, RegistrationView
from ocr_svc.application.registration_workflow import RegistrationWorkflow
from ocr_svc.application.unit_of_work import UnitOfWork, UnitsOfWork
from ocr_svc.domain.consent import Consent, Purpose, require_agreed
from ocr_svc.domain.draft import Draft, require_content
from ocr_svc.domain.registration import (
    Identity,
    Registration,
    State,
    age_years,
    identity_of,
    require_same_target,
)

ANSWER_SECONDS = 1.5
"""Kept back from a confirming call for its answer: the tickets session and the database."""


@dataclass(frozen=True)
class ConfirmRegistration:
    """Asks for an account and a ticket."""

    draft_id: str
    request_id: str
    institution_id: str
    service_id: str
    consent_version: str
    """Of the text that was agreed to."""
    purposes: tuple[Purpose, ...]
    """What was agreed to."""
    request: Message
    """The whole request, for the audit trail."""


class ConfirmationHandler:
    """Confirms drafts."""

    def __init__(
        self,
        units: UnitsOfWork,
        facilities: Facilities,
        workflow: RegistrationWorkflow,
        reads: RegistrationReads,
        clock: Clock,
        consents: Sequence[Consent],
        lease_seconds: float,
    ) -> None:
        """Works in units of work.

        Args:
            units: Opens drafts and registrations.
            facilities: Knows which services there are.
            workflow: Carries registrations on.
            reads: Shows the result.
            clock: Gives the time.
            consents: Versions of the text that is agreed to, oldest first.
            lease_seconds: How long another process waits before it begins the first step.
        """
        self._units = units
        self._facilities = facilities
        self._workflow = workflow
        self._reads = reads
        self._clock = clock
        self._consents = consents
        self._lease = timedelta(seconds=lease_seconds)

    async def confirm(self, command: ConfirmRegistration) -> RegistrationView:
        """Confirms a draft, once, and waits for the ticket as long as the call can.

        Raises:
            MeshError: As `_confirmed`; ALREADY_EXISTS when the draft is confirmed for something
                else; or what a step of the registration was refused with.
        """
        found = await self._confirmed(command)
        require_same_target(found, command.request_id, command.institution_id, command.service_id)
        found = await self._workflow.run_for_call(found.id, ANSWER_SECONDS)
        if found.state is State.FAILED:
            raise MeshError(
                "the registration was refused",
                StatusCode(found.failure_kind),
                found.failure_reason,
                resource=("registration", found.id),
            )
        return await self._reads.with_session(found)

    async def _confirmed(self, command: ConfirmRegistration) -> Registration:
        """Returns the draft's registration, made now unless it exists.

        Raises:
            MeshError: The draft, the consent or the facility does not allow it. Then nothing is
                stored.
        """
        for _ in range(ATTEMPTS):
            draft, found = await self._units.read(draft_and_registration, command.draft_id)
            if found is not None:
                return found
            require_agreed(command.consent_version, command.purposes, self._consents)
            identity = identity_of(require_content(draft, command.draft_id, self._clock()))
            assert draft is not None
            time_zone = await self._facilities.require_service(
                command.institution_id, command.service_id
            )
            now = self._clock()
            made = Registration(
                id=str(uuid.uuid4()),
                draft_id=draft.id,
                request_id=command.request_id,
                institution_id=command.institution_id,
                service_id=command.service_id,
                consent_time=now,
                consent_version=command.consent_version,
                consent_purposes=command.purposes,
                age_years=age_years(identity.tanggal_lahir, now, time_zone),
            )
            first_attempt_time = now + self._lease
            if await self._units.write(
                confirm_draft, draft, made, identity, first_attempt_time, command.request
            ):
                return made
        raise overtaken()


def draft_and_registration(
    unit: UnitOfWork, draft_id: str
) -> tuple[Draft | None, Registration | None]:
    """Returns a draft and its registration, as far as they exist."""
    # In this order: when the draft is seen as confirmed, its registration is seen too.
    draft = unit.drafts.get(draft_id)
    return draft, unit.registrations.of_draft(draft_id)


def confirm_draft(
    unit: UnitOfWork,
    draft: Draft,
    registration: Registration,
    identity: Identity,
    first_attempt_time: datetime,
    request: Message,
) -> bool:
    """Turns a draft into a registration: the identity moves, the rest of the reading goes.

    Args:
        unit: The unit of work.
        draft: The draft as it was read.
        registration: The new registration.
        identity: Whom it is for.
        first_attempt_time: When another process may begin, if the confirming one does not.
        request: The request, for the audit trail.

    Returns:
        False when the draft has changed since it was read: nothing happens.
    """
    if not unit.drafts.confirm(draft, registration.consent_time):
        return False
    unit.registrations.add(registration, identity, first_attempt_time)
    shown = messages.Registration(id=registration.id, draft_id=registration.draft_id)
    unit.record_change(request, shown)
    return True

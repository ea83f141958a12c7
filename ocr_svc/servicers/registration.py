"""RegistrationService: translation between messages, the rules and the repository."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from google.protobuf.message import Message
from mediq.ocr.v1 import registration_service_pb2 as messages
from mediq.ocr.v1.registration_service_pb2_grpc import RegistrationServiceServicer
from mediq.ocr_engine.v1 import ocr_engine_service_pb2 as engine
from mediq.queue.v1.queue_pb2 import Ticket
from mediq.user.v1.auth_service_pb2 import NarrowSession
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mesh.audit_trail.recorder import AuditRecorder
from mesh.clock import timestamp
from mesh.contract.call import current_call
from mesh.errors import MeshError, StatusCode, not_found
from mesh.observability.logs import logger
from mesh.persistence.database import Database
from mesh.rpc.pipeline import Context
from ocr_svc.adapters.clients import Accounts, CardReader, Facilities, ktp_message, sim_message
from ocr_svc.domain import draft as drafts
from ocr_svc.domain import registration
from ocr_svc.domain.consent import Consent, Purpose, consent_of, require_agreed
from ocr_svc.domain.reading import CardWarning
from ocr_svc.persistence.registrations import Repository, new_id
from ocr_svc.servicers.upload import photo_of
from ocr_svc.settings import OcrSettings
from ocr_svc.workflows.registration import Saga

ANSWER_SECONDS = 1.5
"""Kept back from a confirming call for its answer: the tickets session and the database."""
SESSION_SECONDS = 1.0
"""How long a registration's answer waits for the tickets session."""
ATTEMPTS = 5
"""Tries of a change to a draft that another change overtook."""


def _draft(draft: drafts.Draft, content: drafts.Content) -> messages.Draft:
    message = messages.Draft(
        id=draft.id,
        document_type=engine.DocumentType.Value(content.reading.document_type),
        ktp=ktp_message(content),
        sim=sim_message(content),
        warnings=[engine.Warning(**vars(one)) for one in content.warnings],
        expire_time=timestamp(draft.expire_time),
    )
    for one in content.corrections:
        message.corrections.add(
            field=one.field,
            read_value=one.read_value,
            corrected_value=one.corrected_value,
            correct_time=timestamp(one.time),
        )
    return message


def _consent(consent: Consent) -> messages.Consent:
    return messages.Consent(
        version=consent.version,
        text=consent.text,
        text_en=consent.text_en,
        terms=[
            messages.ConsentTerm(
                purpose=messages.ConsentPurpose.Value(one.purpose),
                text=one.text,
                text_en=one.text_en,
                required=one.required,
            )
            for one in consent.terms
        ],
    )


def _overtaken() -> MeshError:
    return MeshError("the draft is being changed elsewhere", StatusCode.ABORTED, "DRAFT_CHANGED")


class RegistrationServicer(RegistrationServiceServicer):
    """Photo, draft, correction, confirmation."""

    def __init__(
        self,
        settings: OcrSettings,
        database: Database,
        trail: AuditRecorder,
        repository: Repository,
        reader: CardReader,
        accounts: Accounts,
        facilities: Facilities,
        saga: Saga,
        clock: Callable[[], datetime],
        consents: Sequence[Consent],
    ) -> None:
        """Serves from `database`."""
        self._draft_time = timedelta(minutes=settings.draft_minutes)
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._database = database
        self._trail = trail
        self._repository = repository
        self._reader = reader
        self._accounts = accounts
        self._facilities = facilities
        self._saga = saga
        self._clock = clock
        self._consents = consents

    async def UploadDocument(
        self, request: messages.UploadDocumentRequest, context: Context
    ) -> messages.UploadDocumentResponse:
        def look() -> tuple[bytes, str]:
            photo = photo_of(request.document.content_type, request.document.data)
            return photo, self._repository.fingerprint(photo)

        # Megabytes are parsed and hashed beside the event loop.
        photo, fingerprint = await asyncio.to_thread(look)
        draft = await self._uploaded(request.request_id, fingerprint)
        if draft is None:
            return await self._read_card(request.request_id, photo, fingerprint)
        content = drafts.require_content(draft, draft.id, self._clock())
        session = await self._accounts.registration_session(draft.id)
        return messages.UploadDocumentResponse(draft=_draft(draft, content), session=session)

    async def _uploaded(self, request_id: str, fingerprint: str) -> drafts.Draft | None:
        """The draft that this upload made before.

        The method is public: whoever has the request_id may ask. That alone opens no draft, the
        photo must be the same, byte for byte; who has both holds the card's picture already, and
        could upload it under a key of their own. The photo counts and not the form around it: a
        browser that repeats a request chooses another boundary.

        Raises:
            MeshError: ALREADY_EXISTS with REQUEST_ID_REUSED.
        """
        if not request_id:
            return None
        found = await self._database.read(
            lambda session: self._repository.uploaded(session, request_id)
        )
        if found is None:
            return None
        draft, known = found
        if known != fingerprint:
            raise drafts.reused_request_id()
        return draft

    async def _read_card(
        self, request_id: str, photo: bytes, fingerprint: str
    ) -> messages.UploadDocumentResponse:
        """Reads the card and issues the session at the same time; one failure ends both."""
        draft_id = new_id()
        reading_task = asyncio.create_task(self._reader.read(photo))
        session_task = asyncio.create_task(self._accounts.registration_session(draft_id))
        try:
            reading, session = await asyncio.gather(reading_task, session_task)
        finally:
            reading_task.cancel()
            session_task.cancel()
        time = self._clock()
        content = drafts.Content(reading, reading.warnings)
        draft = drafts.Draft(draft_id, time + self._draft_time, 1, content)

        def add(unit: Session) -> None:
            self._repository.add_draft(unit, draft, request_id, fingerprint, time)
            self._trail.record_change(unit, current_call(), messages.Draft(id=draft_id))

        try:
            await self._database.write(add)
        except IntegrityError:
            # The same upload at the same moment: the other one won, its draft counts.
            other = await self._uploaded(request_id, fingerprint)
            if other is None:
                raise
            draft, content = other, drafts.require_content(other, other.id, time)
            session = await self._accounts.registration_session(other.id)
        return messages.UploadDocumentResponse(draft=_draft(draft, content), session=session)

    async def _open(self, draft_id: str) -> tuple[drafts.Draft, drafts.Content]:
        """A draft that waits for its confirmation.

        Raises:
            MeshError: DRAFT_NOT_FOUND, DRAFT_CONFIRMED or DRAFT_EXPIRED.
        """
        draft = await self._database.read(lambda session: self._repository.draft(session, draft_id))
        content = drafts.require_content(draft, draft_id, self._clock())
        assert draft is not None
        return draft, content

    async def GetDraft(self, request: messages.GetDraftRequest, context: Context) -> messages.Draft:
        return _draft(*await self._open(request.id))

    async def UpdateDraft(
        self, request: messages.UpdateDraftRequest, context: Context
    ) -> messages.Draft:
        changes = {
            name: str(getattr(request, name))
            for name in drafts.CORRECTABLE
            if request.HasField(name)  # type: ignore[arg-type]
        }
        fingerprint = self._repository.fingerprint(request.SerializeToString(deterministic=True))
        for _ in range(ATTEMPTS):
            draft, content = await self._open(request.id)
            known = content.updates.get(request.request_id)
            if known == fingerprint:
                return _draft(draft, content)
            if known is not None:
                raise drafts.reused_request_id()
            changed = drafts.correct(
                content, changes, request.request_id, fingerprint, self._clock()
            )
            changed = drafts.with_warnings(changed, await self._validate(changed))
            replace = partial(self._repository.replace_content, draft=draft, content=changed)
            if await self._noted(replace, messages.Draft(id=draft.id)):
                return _draft(draft, changed)
        raise _overtaken()

    async def _validate(self, content: drafts.Content) -> tuple[CardWarning, ...] | None:
        try:
            return await self._reader.validate(content)
        except MeshError as error:
            logger().warning("correction not validated", reason=error.reason)
            return None

    async def GetConsent(
        self, request: messages.GetConsentRequest, context: Context
    ) -> messages.Consent:
        return _consent(consent_of(request.version, self._consents))

    async def ConfirmRegistration(
        self, request: messages.ConfirmRegistrationRequest, context: Context
    ) -> messages.Registration:
        found = await self._confirm(request)
        registration.require_same_target(
            found, request.request_id, request.institution_id, request.service_id
        )
        call = current_call()
        left = call.remaining_seconds() if call is not None else None
        found = await self._saga.run_until(found.id, (left or 0.0) - ANSWER_SECONDS)
        if found.state is registration.State.FAILED:
            raise MeshError(
                "the registration was refused",
                StatusCode(found.failure_kind),
                found.failure_reason,
                resource=("registration", found.id),
            )
        return await self._registration(found)

    async def _confirm(
        self, request: messages.ConfirmRegistrationRequest
    ) -> registration.Registration:
        """The draft's registration, made now unless it exists.

        Raises:
            MeshError: The draft, the consent or the facility does not allow it. Then nothing is
                stored.
        """

        def look(
            session: Session,
        ) -> tuple[drafts.Draft | None, registration.Registration | None]:
            # In this order: when the draft is seen as confirmed, its registration is seen too.
            draft = self._repository.draft(session, request.draft_id)
            return draft, self._repository.registration_of(session, request.draft_id)

        purposes = tuple(
            Purpose(messages.ConsentPurpose.Name(one)) for one in sorted(request.purposes)
        )
        for _ in range(ATTEMPTS):
            draft, found = await self._database.read(look)
            if found is not None:
                return found
            require_agreed(request.consent_version, purposes, self._consents)
            identity = registration.identity_of(
                drafts.require_content(draft, request.draft_id, self._clock())
            )
            assert draft is not None
            time_zone = await self._facilities.require_service(
                request.institution_id, request.service_id
            )
            now = self._clock()
            made = registration.Registration(
                id=new_id(),
                draft_id=draft.id,
                request_id=request.request_id,
                institution_id=request.institution_id,
                service_id=request.service_id,
                consent_time=now,
                consent_version=request.consent_version,
                consent_purposes=purposes,
                age_years=registration.age_years(identity.tanggal_lahir, now, time_zone),
            )
            confirm = partial(
                self._repository.confirm,
                draft=draft,
                registration=made,
                identity=identity,
                first_attempt_time=made.consent_time + self._lease,
            )
            shown = messages.Registration(id=made.id, draft_id=made.draft_id)
            if await self._noted(confirm, request, shown):
                return made
        raise _overtaken()

    async def _noted(self, change: Callable[[Session], bool], *told: Message) -> bool:
        """Makes a change that is written down if it happens. False: it did not happen."""

        def run(session: Session) -> bool:
            done = change(session)
            if done:
                self._trail.record_change(session, current_call(), *told)
            return done

        return await self._database.write(run)

    async def GetRegistration(
        self, request: messages.GetRegistrationRequest, context: Context
    ) -> messages.Registration:
        found = await self._database.read(
            lambda session: self._repository.registration_of(session, request.draft_id)
        )
        if found is None:
            raise not_found("registration", request.draft_id)
        return await self._registration(found)

    async def _registration(self, found: registration.Registration) -> messages.Registration:
        """The answer about a registration.

        The ticket is the one that was issued, as stored. Asking queue_svc again under the same key
        would show the same first answer, fail while it is down, and issue a second ticket when it
        has forgotten the key. The live state is WatchTicket's, with the session that comes along.
        """
        message = messages.Registration(
            id=found.id,
            draft_id=found.draft_id,
            state=messages.RegistrationState.Value(f"REGISTRATION_STATE_{found.state}"),
            failure_reason=found.failure_reason,
            user_id=found.user_id,
        )
        if found.state is registration.State.COMPLETED:
            message.ticket.CopyFrom(Ticket.FromString(found.ticket))
            session = await self._tickets_session(found.user_id)
            if session is not None:
                message.session.CopyFrom(session)
        return message

    async def _tickets_session(self, user_id: str) -> NarrowSession | None:
        """A fresh session, never stored. None when it cannot be had: the ticket is there anyway."""
        try:
            async with asyncio.timeout(SESSION_SECONDS):
                return await self._accounts.tickets_session(user_id)
        except (MeshError, TimeoutError) as error:
            logger().warning("no tickets session", reason=getattr(error, "reason", "TIMEOUT"))
            return None

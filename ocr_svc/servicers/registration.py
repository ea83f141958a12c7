"""The RPCs of registration: requests as commands and queries, and their answers."""

import asyncio

from mediq.ocr.v1 import registration_service_pb2 as messages
from mediq.ocr.v1.registration_service_pb2_grpc import RegistrationServiceServicer

from mesh.rpc.pipeline import Context
from ocr_svc.application.confirm_registration import ConfirmRegistration
from ocr_svc.application.drafts import UpdateDraft
from ocr_svc.application.upload_document import UploadDocument
from ocr_svc.domain.consent import Purpose, consent_of
from ocr_svc.domain.draft import CORRECTABLE
from ocr_svc.messages.registrations import consent_message, draft_message, registration_message
from ocr_svc.servicers.dependencies import Dependencies
from ocr_svc.servicers.upload import photo_of


class RegistrationServicer(RegistrationServiceServicer):
    """Serves photo, draft, correction, consent and confirmation."""

    def __init__(self, dependencies: Dependencies) -> None:
        """Serves with the use cases of drafts and registrations."""
        self._uploads = dependencies.uploads
        self._drafts = dependencies.drafts
        self._confirmations = dependencies.confirmations
        self._registrations = dependencies.registrations
        self._consents = dependencies.consents

    async def UploadDocument(
        self, request: messages.UploadDocumentRequest, context: Context
    ) -> messages.UploadDocumentResponse:
        # Megabytes are parsed beside the event loop.
        photo = await asyncio.to_thread(
            photo_of, request.document.content_type, request.document.data
        )
        opened = await self._uploads.upload(UploadDocument(request.request_id, photo))
        return messages.UploadDocumentResponse(
            draft=draft_message(opened.draft), session=opened.session
        )

    async def GetDraft(self, request: messages.GetDraftRequest, context: Context) -> messages.Draft:
        return draft_message(await self._drafts.get(request.id))

    async def UpdateDraft(
        self, request: messages.UpdateDraftRequest, context: Context
    ) -> messages.Draft:
        command = UpdateDraft(
            draft_id=request.id,
            request_id=request.request_id,
            request=request,
            changes={
                name: str(getattr(request, name))
                for name in CORRECTABLE
                if request.HasField(name)  # type: ignore[arg-type]
            },
        )
        return draft_message(await self._drafts.update(command))

    async def GetConsent(
        self, request: messages.GetConsentRequest, context: Context
    ) -> messages.Consent:
        return consent_message(consent_of(request.version, self._consents))

    async def ConfirmRegistration(
        self, request: messages.ConfirmRegistrationRequest, context: Context
    ) -> messages.Registration:
        command = ConfirmRegistration(
            draft_id=request.draft_id,
            request_id=request.request_id,
            institution_id=request.institution_id,
            service_id=request.service_id,
            consent_version=request.consent_version,
            purposes=tuple(
                Purpose(messages.ConsentPurpose.Name(one)) for one in sorted(request.purposes)
            ),
            request=request,
        )
        view = await self._confirmations.confirm(command)
        return registration_message(view.registration, view.session)

    async def GetRegistration(
        self, request: messages.GetRegistrationRequest, context: Context
    ) -> messages.Registration:
        view = await self._registrations.get(request.draft_id)
        return registration_message(view.registration, view.session)

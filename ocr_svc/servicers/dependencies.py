"""What the servicers work with."""

from collections.abc import Sequence
from dataclasses import dataclass

from ocr_svc.application.confirm_registration import ConfirmationHandler
from ocr_svc.application.drafts import DraftHandler
from ocr_svc.application.export_personal_data import PersonalDataExport
from ocr_svc.application.registration_reads import RegistrationReads
from ocr_svc.application.request_erasure import ErasureHandler
from ocr_svc.application.upload_document import UploadHandler
from ocr_svc.domain.consent import Consent


@dataclass(frozen=True)
class Dependencies:
    """Holds the use cases."""

    uploads: UploadHandler
    drafts: DraftHandler
    confirmations: ConfirmationHandler
    registrations: RegistrationReads
    exports: PersonalDataExport
    erasures: ErasureHandler
    consents: Sequence[Consent]
    """Versions of the text that is agreed to, oldest first."""

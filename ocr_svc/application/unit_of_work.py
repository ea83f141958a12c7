"""Units of work on drafts, registrations and erasures."""

import hashlib

from google.protobuf.message import Message
from mediq.audit.v1.audit_pb2 import AuditEvent
from sqlalchemy.orm import Session

from mesh import unit_of_work
from mesh.audit_trail.recorder import AuditRecorder
from mesh.contract.call import current_call
from mesh.encryption.field_cipher import FieldCipher
from mesh.persistence.database import Database
from ocr_svc.persistence.draft_repository import DraftRepository
from ocr_svc.persistence.erasure_repository import ErasureRepository
from ocr_svc.persistence.registration_repository import RegistrationRepository


class UnitOfWork:
    """Holds what one transaction reads and writes with."""

    def __init__(self, session: Session, cipher: FieldCipher, recorder: AuditRecorder) -> None:
        """Works in `session`.

        Args:
            session: The transaction.
            cipher: Encrypts what is personal.
            recorder: Writes down what changes.
        """
        self.drafts = DraftRepository(session, cipher)
        self.registrations = RegistrationRepository(session, cipher)
        self.erasures = ErasureRepository(session, cipher)
        self._session = session
        self._recorder = recorder

    def record_change(self, *messages: Message) -> None:
        """Writes what the call in progress changes into the audit trail.

        Args:
            messages: What names the persons and things: the request, and parts of the answer.
        """
        self._recorder.record_change(self._session, current_call(), *messages)

    def record_event(self, event: AuditEvent) -> None:
        """Writes what a command beside the service does into the audit trail."""
        self._recorder.record_in(self._session, [event])


class UnitsOfWork(unit_of_work.UnitsOfWork[UnitOfWork]):
    """Opens units of work for use cases."""

    def __init__(self, database: Database, cipher: FieldCipher, recorder: AuditRecorder) -> None:
        """Opens nothing yet.

        Args:
            database: Holds drafts, registrations and erasures.
            cipher: Encrypts what is personal.
            recorder: Writes down what changes.
        """
        super().__init__(database)
        self._cipher = cipher
        self._recorder = recorder

    def open(self, session: Session) -> UnitOfWork:
        return UnitOfWork(session, self._cipher, self._recorder)

    def fingerprint(self, content: bytes) -> str:
        """Returns a keyed fingerprint of what a request carries."""
        return self._cipher.blind_index(hashlib.sha256(content).hexdigest(), "request")

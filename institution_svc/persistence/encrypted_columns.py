"""The columns of the facility service that hold ciphertexts."""

from institution_svc.persistence.models import AUDIT, IDEMPOTENCY
from mesh.audit_trail.recorder import encrypted_events
from mesh.idempotency import encrypted_answers

ENCRYPTED_COLUMNS = (encrypted_answers(IDEMPOTENCY), encrypted_events(AUDIT))

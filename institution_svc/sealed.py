"""The columns of the facility service that hold ciphertexts."""

from institution_svc.store import AUDIT, IDEMPOTENCY
from mesh.audit_trail.recorder import sealed_events
from mesh.idempotency import sealed_answers

SEALED = (sealed_answers(IDEMPOTENCY), sealed_events(AUDIT))

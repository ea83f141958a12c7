"""The columns of the queue service that hold ciphertexts."""

from mesh.audit_trail.recorder import sealed_events
from mesh.encryption.encrypted_columns import SealedColumn
from mesh.idempotency import sealed_answers
from queue_svc.models import AUDIT, IDEMPOTENCY
from queue_svc.reading import reason_place
from queue_svc.rows import CHANGE

SEALED = (
    SealedColumn(CHANGE, "reason", lambda row: reason_place(row.ticket_id, row.version)),
    sealed_answers(IDEMPOTENCY),
    sealed_events(AUDIT),
)

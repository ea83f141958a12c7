"""The columns of the queue service that hold ciphertexts."""

from mesh.audit_trail.recorder import encrypted_events
from mesh.encryption.encrypted_columns import EncryptedColumn
from mesh.idempotency import encrypted_answers
from queue_svc.persistence.mapping import CHANGE
from queue_svc.persistence.models import AUDIT, IDEMPOTENCY
from queue_svc.persistence.ticket_queries import reason_associated_data

ENCRYPTED_COLUMNS = (
    EncryptedColumn(
        CHANGE, "reason", lambda row: reason_associated_data(row.ticket_id, row.version)
    ),
    encrypted_answers(IDEMPOTENCY),
    encrypted_events(AUDIT),
)

"""The columns of the facility service that hold ciphertexts."""

from institution_svc.store import IDEMPOTENCY
from mesh.idempotency import sealed_answers

SEALED = (sealed_answers(IDEMPOTENCY),)

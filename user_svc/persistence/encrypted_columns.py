"""The columns of the account service that hold ciphertexts."""

from functools import partial
from typing import Any

from sqlalchemy import Row

from mesh.audit_trail.recorder import encrypted_events
from mesh.encryption.encrypted_columns import EncryptedColumn
from mesh.idempotency import encrypted_answers
from user_svc.persistence.account_cipher import personal_associated_data
from user_svc.persistence.audit_models import AUDIT_ENTRIES, AUDIT_OUTBOX
from user_svc.persistence.logins.second_factor_repository import secret_associated_data
from user_svc.persistence.models import (
    IDEMPOTENCY,
    PERSONAL_COLUMNS,
    SECRET_COLUMNS,
    SecondFactorRow,
    UserRow,
)


def _personal(name: str, row: Row[Any]) -> str:
    return personal_associated_data(row.id, name)


def _secret(name: str, row: Row[Any]) -> str:
    return secret_associated_data(row.user_id, name)


AUDIT_DATABASE_COLUMNS = (encrypted_events(AUDIT_ENTRIES),)
"""Those in a database of its own for the audit trail."""
ENCRYPTED_COLUMNS = (
    *(
        EncryptedColumn(UserRow.__table__, name, partial(_personal, name))
        for name in PERSONAL_COLUMNS
    ),
    *(
        EncryptedColumn(SecondFactorRow.__table__, name, partial(_secret, name))
        for name in SECRET_COLUMNS
    ),
    encrypted_answers(IDEMPOTENCY),
    encrypted_events(AUDIT_OUTBOX),
    *AUDIT_DATABASE_COLUMNS,
)

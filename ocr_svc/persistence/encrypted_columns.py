"""The columns of the registration service that hold ciphertexts."""

from functools import partial
from typing import Any

from sqlalchemy import Row

from mesh.audit_trail.recorder import encrypted_events
from mesh.encryption.encrypted_columns import EncryptedColumn
from ocr_svc.persistence.erasures import ErasureRow, account_place
from ocr_svc.persistence.registrations import (
    AUDIT,
    DraftRow,
    RegistrationRow,
    reading_place,
    registration_place,
)


def _registration(name: str, row: Row[Any]) -> str:
    return registration_place(row.id, name)


ENCRYPTED_COLUMNS = (
    EncryptedColumn(DraftRow.__table__, "reading", lambda row: reading_place(row.id)),
    *(
        EncryptedColumn(RegistrationRow.__table__, name, partial(_registration, name))
        for name in ("identity", "age", "ticket")
    ),
    EncryptedColumn(ErasureRow.__table__, "account", lambda row: account_place(row.id)),
    encrypted_events(AUDIT),
)

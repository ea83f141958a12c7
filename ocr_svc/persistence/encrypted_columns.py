"""The columns of the registration service that hold ciphertexts."""

from functools import partial
from typing import Any

from sqlalchemy import Row

from mesh.audit_trail.recorder import encrypted_events
from mesh.encryption.encrypted_columns import EncryptedColumn
from ocr_svc.persistence.draft_repository import reading_associated_data
from ocr_svc.persistence.erasure_repository import account_associated_data
from ocr_svc.persistence.models import AUDIT, DraftRow, ErasureRow, RegistrationRow
from ocr_svc.persistence.registration_repository import registration_associated_data


def _registration(column: str, row: Row[Any]) -> str:
    return registration_associated_data(row.id, column)


ENCRYPTED_COLUMNS = (
    EncryptedColumn(DraftRow.__table__, "reading", lambda row: reading_associated_data(row.id)),
    *(
        EncryptedColumn(RegistrationRow.__table__, column, partial(_registration, column))
        for column in ("identity", "age", "ticket")
    ),
    EncryptedColumn(ErasureRow.__table__, "account", lambda row: account_associated_data(row.id)),
    encrypted_events(AUDIT),
)

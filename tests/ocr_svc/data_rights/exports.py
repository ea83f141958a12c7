"""Copies of data that tests ask for."""

from __future__ import annotations

from typing import Any

from mediq.ocr.v1 import data_rights_service_pb2 as messages

from ocr_svc.persistence.models import DraftRow, ErasureRow, RegistrationRow
from tests.ocr_svc.conftest import Clinic, rights_token

FATE: dict[type[Any], dict[str, tuple[str, str]]] = {
    RegistrationRow: {
        "id": ("registration_id", "stays: a number of its own, the proof is found by it"),
        "draft_id": ("", "replaced: only a way to find the row, the draft itself is gone"),
        "request_id": ("", "emptied: made up by the person's device"),
        "institution_id": ("institution_id", "stays: proof of the consent"),
        "service_id": ("service_id", "stays: proof of the consent"),
        "consent_time": ("consent_time", "stays: proof of the consent"),
        "consent_version": ("version", "stays: proof of the consent"),
        "consent_purposes": ("purposes", "stays: proof of the consent"),
        "state": ("state", "stays: tells of the mesh"),
        "identity": ("", "emptied long before: in the record of user_svc"),
        "age": ("", "emptied long before: follows from the record of user_svc"),
        "user_id": ("", "emptied: it is what was asked for"),
        "ticket": ("", "emptied: a copy of what is in the tickets"),
        "failure_kind": ("", "stays: tells of the mesh"),
        "failure_reason": ("", "stays: tells of the mesh"),
        "attempts": ("", "stays: tells of the mesh"),
        "next_attempt_time": ("", "stays: tells of the mesh"),
        "lease_owner": ("", "stays: tells of the mesh"),
        "lease_until": ("", "stays: tells of the mesh"),
        "update_time": ("", "stays: tells of the mesh"),
    },
    DraftRow: dict.fromkeys(
        (
            *("id", "request_id", "fingerprint", "reading", "version"),
            *("create_time", "expire_time", "confirm_time"),
        ),
        ("", "gone by itself: belongs to no account"),
    ),
    ErasureRow: dict.fromkeys(
        (
            *("id", "person", "user_id", "create_time", "retain_time", "state", "attempts"),
            *("account", "round", "next_attempt_time", "lease_owner", "lease_until", "update_time"),
        ),
        (
            "",
            "begins when no copy can be asked for any more; the account is emptied, then encrypted",
        ),
    ),
}
"""Of each column: the field of ConsentRecord that tells it, and what an erasure makes of it."""


def export(clinic: Clinic, user_id: str, session_of: str = "") -> Any:
    return clinic.rights.ExportPersonalData(
        messages.ExportPersonalDataRequest(user_id=user_id),
        metadata=rights_token(clinic.mesh, session_of or user_id),
    )

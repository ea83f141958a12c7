"""Uploads as a browser sees them: REST through a real Envoy, errors of the engine as typed JSON."""

from __future__ import annotations

from typing import Any

import httpx

from mesh.errors import MeshError, StatusCode
from ocr_engine.parsing import Advice, NoCard, SeveralCards
from ocr_engine.serving.worker import EngineBusy
from tests.ocr_svc.browsers import browser, upload
from tests.ocr_svc.conftest import Clinic
from tests.ocr_svc.doubles import NIK, licence

__all__ = ["browser"]


async def test_a_licence_in_json(browser: httpx.AsyncClient, clinic: Clinic) -> None:
    clinic.reader.reading = licence(nomor_sim=NIK)
    status, body = await upload(browser)
    assert status == httpx.codes.OK
    draft = body["draft"]
    assert draft["documentType"] == "DOCUMENT_TYPE_SIM"
    assert draft["sim"]["golongan"]["value"] == "C"
    assert draft["ktp"]["nik"]["value"] == NIK
    assert draft["ktp"]["nik"]["reason"] == "FIELD_REASON_REPAIRED"
    assert len(draft["ktp"]["nik"]["polygon"]) == 4
    assert draft["ktp"]["nik"]["polygon"][0] == {"x": 0.1, "y": 0.2}
    assert {"messageEn"} <= set(draft["warnings"][0])


async def test_errors_of_the_engine(browser: httpx.AsyncClient, clinic: Clinic) -> None:
    """One Envoy for all of them: starting it takes a second."""

    async def refused(error: MeshError) -> tuple[int, dict[str, Any], list[dict[str, Any]]]:
        clinic.reader.refusal = error
        status, body = await upload(browser)
        first, *others = body["details"]
        assert (first["@type"], first["domain"]) == (
            "type.googleapis.com/google.rpc.ErrorInfo",
            "mediq",
        )
        return status, first, others

    status, info, _ = await refused(NoCard((Advice.BLURRED, Advice.NO_CARD)))
    assert (status, info["reason"]) == (400, "NO_CARD")
    assert info["metadata"]["advice"] == "BLURRED,NO_CARD"

    status, info, _ = await refused(SeveralCards())
    assert (status, info["reason"]) == (400, "SEVERAL_CARDS")

    status, info, others = await refused(EngineBusy(1.5))
    assert (status, info["reason"]) == (429, "ENGINE_BUSY")
    assert others == [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.500s"}]

    status, info, _ = await refused(
        MeshError("late", StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    )
    assert (status, info["reason"]) == (504, "DEADLINE_EXCEEDED")

"""Consent, copy and erasure as a browser sees them: REST through a real Envoy."""

from __future__ import annotations

from uuid import uuid4

import httpx
from mediq.queue.v1.queue_pb2 import TicketStatus
from mediq.queue.v1.ticket_service_pb2 import TicketChange

from ocr_svc.domain.consent import CONSENTS
from tests.ocr_svc.browsers import browser, upload
from tests.ocr_svc.conftest import Clinic, rights_token
from tests.ocr_svc.doubles import NIK

__all__ = ["browser"]
MUCH = 1500
"""Tickets whose copy is larger than any buffer of the edge: 1 MiB."""


async def test_from_consent_to_erasure(browser: httpx.AsyncClient, clinic: Clinic) -> None:
    """One Envoy for all of it: starting it takes a second."""
    consent = (await browser.get("/consent")).json()
    assert (consent["version"], consent["textEn"]) == (CONSENTS[-1].version, CONSENTS[-1].text_en)
    missing = await browser.get("/consent", params={"version": "2020-01-01"})
    assert missing.status_code == httpx.codes.NOT_FOUND

    _, uploaded = await upload(browser)
    body = {
        "requestId": str(uuid4()),
        "draftId": uploaded["draft"]["id"],
        "institutionId": clinic.facilities.institution_id,
        "serviceId": clinic.facilities.service_id,
        "consent": True,
        "consentVersion": "2020-01-01",
        "purposes": [term["purpose"] for term in consent["terms"]],
    }
    draft = {"authorization": f"Bearer {uploaded['session']['accessToken']}"}
    outdated = await browser.post("/ocr/confirm", json=body, headers=draft)
    info = outdated.json()["details"][0]
    assert (outdated.status_code, info["reason"]) == (400, "CONSENT_OUTDATED")
    assert info["metadata"]["current_version"] == consent["version"]
    body["consentVersion"] = consent["version"]
    done = (await browser.post("/ocr/confirm", json=body, headers=draft)).json()

    user_id = done["userId"]
    person = dict(rights_token(clinic.mesh, user_id))
    (ticket,) = clinic.queue.tickets.values()
    clinic.queue.close(ticket, TicketStatus.TICKET_STATUS_CANCELLED, time=clinic.now())
    for _ in range(MUCH):
        other = clinic.queue.tickets.setdefault(str(uuid4()), type(ticket)())
        other.CopyFrom(ticket)
        other.id = str(uuid4())
        clinic.queue.changes[other.id] = [TicketChange(reason="x" * 100, actor=str(uuid4()))] * 5
    reply = await browser.get(f"/data-rights/{user_id}/export", headers=person)
    assert reply.status_code == httpx.codes.OK, reply.text[:500]
    assert len(reply.content) > 2**20
    copy = reply.json()
    assert copy["record"]["identity"]["nik"] == NIK
    assert copy["consents"][0]["version"] == consent["version"]
    assert copy["consents"][0]["purposes"] == body["purposes"]
    assert len(copy["tickets"]) == 1 + MUCH

    path = f"/data-rights/{user_id}/erasure"
    reply = await browser.post(path, json={"requestId": str(uuid4())}, headers=person)
    assert reply.status_code == httpx.codes.OK, reply.text
    erasure = reply.json()
    assert (erasure["state"], erasure["userId"]) == ("ERASURE_STATE_ERASED", user_id)
    reply = await browser.post(path, json={"requestId": str(uuid4())}, headers=person)
    assert reply.json() == erasure
    reply = await browser.get(f"/data-rights/{user_id}/export", headers=person)
    assert reply.status_code == httpx.codes.NOT_FOUND

"""A browser in front of the registration service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.edge.conftest import running, settings_for
from tests.ocr_svc.conftest import PHOTO, Clinic
from tests.support.waiting import PATIENCE_SECONDS


@pytest.fixture
async def browser(clinic: Clinic) -> AsyncIterator[httpx.AsyncClient]:
    """A REST client of an Envoy in front of the service."""
    async with clinic.serve():
        host, port = clinic.mesh.addresses["ocr_svc"].split(":")
        settings = settings_for(clinic.mesh.home, {"ocr_svc": ((host, int(port)),)})
        envoy = running(settings, clinic.mesh.home)
        # Beside the event loop, which answers Envoy's health checks meanwhile.
        await asyncio.to_thread(envoy.__enter__)
        base = f"http://127.0.0.1:{settings.listen_port}"
        async with httpx.AsyncClient(base_url=base, timeout=PATIENCE_SECONDS) as client:
            yield client
        await asyncio.to_thread(envoy.__exit__, None, None, None)


async def upload(browser: httpx.AsyncClient) -> tuple[int, dict[str, Any]]:
    reply = await browser.post("/ocr/upload", files={"file": ("card.jpg", PHOTO)})
    body: dict[str, Any] = reply.json()
    return reply.status_code, body

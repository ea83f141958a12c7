"""The page of metrics of a service."""

import httpx

from tests.support.waiting import PATIENCE_SECONDS


async def page(port: int) -> str:
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
        reply = await client.get(f"http://127.0.0.1:{port}/metrics")
    assert reply.status_code == httpx.codes.OK
    return reply.text

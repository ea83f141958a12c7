"""Clients that send as little as they can, for as long as they can."""

from __future__ import annotations

import asyncio

import pytest

from edge import EdgeSettings
from tests.attacks.world import World
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.model
HEAD = b"POST /auth/login/user HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"


async def dribble(port: int, start: bytes, drop: bytes) -> str:
    """Sends a start and then drop after drop until that is borne no longer; gives the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        writer.write(start)
        while True:
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(0.3)

    sending = asyncio.create_task(send())
    async with asyncio.timeout(PATIENCE_SECONDS):
        # The answer comes before the end: who goes on sending gets a reset instead of it.
        answer = await reader.read(10_000)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        answer += await reader.read()
    writer.close()
    return answer.decode()


async def test_slow_headers_and_slow_bodies_are_cut_off(world: World, strict: EdgeSettings) -> None:
    body = HEAD + b"content-length: 100000\r\n\r\n{"
    usual = int(world.running.url.rpartition(":")[2])
    headers_answer, body_answer = await asyncio.gather(
        dribble(usual, HEAD, b"x-more: 1\r\n"), dribble(strict.listen_port, body, b" ")
    )
    assert body_answer.startswith("HTTP/1.1 408 ")
    assert '"reason":"REQUEST_TIMEOUT"' in body_answer
    assert headers_answer.startswith(("HTTP/1.1 408 ", "HTTP/1.1 431 "))

"""HTTP/1.1 with as little work as possible: the client of a measurement shares the processor."""

import asyncio
from collections.abc import Callable
from typing import cast

HOST = "127.0.0.1"


def payload(method: str, path: str, token: str = "", body: bytes = b"") -> bytes:
    """One request, ready to be written.

    Args:
        method: The method.
        path: The path with its query.
        token: Access token; empty: none is sent.
        body: JSON; empty: none is sent.
    """
    head = f"{method} {path} HTTP/1.1\r\nhost: bench\r\n"
    if token:
        head += f"authorization: Bearer {token}\r\n"
    if body:
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


class Connection(asyncio.Protocol):
    """A connection that carries one request at a time."""

    def __init__(self) -> None:
        """Waits for its transport."""
        self._buffer = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, port: int) -> "Connection":
        """A connection to a port of this machine."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(cls, HOST, port)
        return connection

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer.

        Raises:
            ConnectionError: The other side has closed the connection.
        """
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Ends the connection."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        start = buffer.find(b"content-length: ", 0, end)
        # Envoy knows the length of every answer that is not a stream.
        length = int(buffer[start + 16 : buffer.find(b"\r\n", start)]) if start >= 0 else 0
        if len(buffer) < end + 4 + length:
            return
        status, body = int(buffer[9:12]), bytes(buffer[end + 4 : end + 4 + length])
        buffer.clear()
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_result((status, body))

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("closed before the answer"))


class Stream(asyncio.Protocol):
    """A live stream that is read and not looked at: its pieces are kept with their times."""

    def __init__(self, request: bytes, clock: Callable[[], float]) -> None:
        """Asks as soon as it is connected.

        Args:
            request: The request.
            clock: Gives the time of a piece.
        """
        self.pieces: list[tuple[float, bytes]] = []
        self.begun = asyncio.get_running_loop().create_future()
        """Done when the first message is here; fails when there is none."""
        self.transport: asyncio.Transport | None = None
        self._request = request
        self._clock = clock

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.pieces.append((self._clock(), data))
        if self.begun.done():
            return
        seen = b"".join(piece for _, piece in self.pieces)
        if not b"HTTP/1.1 200".startswith(seen[:12]):
            self.begun.set_exception(ConnectionError(seen[:12].decode()))
        elif (first := seen.find(b"data: ")) >= 0 and seen.find(b"\n\n", first) >= 0:
            self.begun.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.begun.done():
            self.begun.set_exception(ConnectionError("closed before the first message"))

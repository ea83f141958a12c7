"""Server-Sent Events, read the way a browser does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class Event:
    """Holds one event, or one block of fields without data."""

    data: str
    id: str | None
    retry: int | None

    @property
    def json(self) -> Any:
        """Returns the data as a value."""
        return json.loads(self.data)


def parse(block: str) -> Event:
    """Reads the lines of one event.

    Raises:
        KeyError: A line is none of the edge's.
    """
    fields: dict[str, str | None] = {"data": None, "id": None, "retry": None}
    for line in block.split("\n"):
        name, _, value = line.partition(": ")
        if fields[name] is not None:
            raise ValueError(f"two lines of {name}")
        fields[name] = value
    retry = fields["retry"]
    return Event(fields["data"] or "", fields["id"], None if retry is None else int(retry))


def parse_all(text: str) -> list[Event]:
    """Reads whole events; the text must end with the last one."""
    blocks = text.split("\n\n")
    assert blocks.pop() == "", "the text ends within an event"
    return [parse(block) for block in blocks]


async def events(response: httpx.Response) -> AsyncIterator[Event]:
    """Yields the events of a response, each as soon as it is whole."""
    text = ""
    async for part in response.aiter_text():
        *blocks, text = (text + part).split("\n\n")
        for block in blocks:
            yield parse(block)

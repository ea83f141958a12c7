"""Checks the documents against Envoy's own messages, of the distribution xds-protos.

The parts are written as dictionaries, which take any key. What Envoy would refuse at its start, a
misspelt field, enum value or type, is refused here when it is rendered.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from copy import deepcopy
from functools import cache

from google.protobuf.descriptor_pool import Default as descriptor_pool
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message_factory import GetMessageClass

from edge.messages import TYPE_PREFIX, Config

_ENVOY = "envoy."


@cache
def _load_package(package: str) -> None:
    """Loads the messages of a protobuf package into the descriptor pool."""
    modules = importlib.import_module(package).__path__
    for module in pkgutil.iter_modules(modules):
        if module.name.endswith("_pb2"):
            importlib.import_module(f"{package}.{module.name}")


def _types(value: object) -> Iterator[str]:
    """Yields the names of the messages that a value names in `@type`, however deep."""
    if isinstance(value, dict):
        if "@type" in value:
            yield str(value["@type"]).removeprefix(TYPE_PREFIX)
        for item in value.values():
            yield from _types(item)
    elif isinstance(value, list):
        for item in value:
            yield from _types(item)


def require_valid(document: Config, message: str) -> None:
    """Refuses a document that is not the JSON form of a message, typed parts included.

    Args:
        document: The document.
        message: Full name of Envoy's message.

    Raises:
        ValueError: It names a field, an enum value or a type that does not exist.
    """
    try:
        for name in {message, *_types(document)}:
            if name.startswith(_ENVOY):
                _load_package(name.rpartition(".")[0])
        parsed = GetMessageClass(descriptor_pool().FindMessageTypeByName(message))()
        # ParseDict moves `@type` to the end of each typed part.
        ParseDict(deepcopy(document), parsed)
    except (ModuleNotFoundError, ParseError) as error:
        raise ValueError(f"this is no {message}: {error}") from error

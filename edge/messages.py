"""Builders of the JSON forms that recur in Envoy's configuration."""

from __future__ import annotations

from typing import Any, TypeAlias

Config: TypeAlias = dict[str, Any]
"""A piece of configuration: the JSON form of one of Envoy's messages."""
TYPE_PREFIX = "type.googleapis.com/"
"""Stands before a message's full name in `@type`."""


def typed(message: str, **fields: Any) -> Config:
    """Returns a google.protobuf.Any in JSON form."""
    return {"@type": f"{TYPE_PREFIX}{message}", **fields}


def extension(name: str, message: str, **fields: Any) -> Config:
    """Returns a named extension with its typed configuration."""
    return {"name": name, "typed_config": typed(message, **fields)}


def header(key: str, value: str, action: str = "OVERWRITE_IF_EXISTS_OR_ADD") -> Config:
    """Returns a HeaderValueOption."""
    return {"header": {"key": key, "value": value}, "append_action": action}


def seconds(value: float) -> str:
    """Returns a duration in JSON form, such as 2s or 0.5s."""
    return f"{value:g}s"


def socket_address(host: str, port: int) -> Config:
    """Returns an Address."""
    return {"socket_address": {"address": host, "port_value": port}}

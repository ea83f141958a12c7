"""A misspelt part of the configuration is refused when it is rendered."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from edge import EdgeSettings, kubernetes_settings, render_bootstrap, render_files
from edge.messages import extension, typed
from edge.validation import require_valid

PARTS = (
    "edge.bootstrap._overload_manager",
    "edge.bootstrap._runtime",
    "edge.bootstrap.api_listener",
    "edge.bootstrap.status_listener",
    "edge.bootstrap.server_clusters",
    "edge.bootstrap.loopback_cluster",
    "edge.bootstrap.admin_cluster",
    "edge.bootstrap.socket_address",
    "edge.listeners.api._connection_manager",
    "edge.listeners.api.header_filter",
    "edge.listeners.api.cors_filter",
    "edge.listeners.api.stream_filter",
    "edge.listeners.api.transcoder_filter",
    "edge.listeners.api.rate_filter",
    "edge.listeners.api.limit_filters",
    "edge.listeners.api.jwt_filter",
    "edge.listeners.api.rbac_filter",
    "edge.listeners.api.body_filter",
    "edge.listeners.api.route_config",
    "edge.listeners.api.access_log",
    "edge.listeners.api.local_replies",
    "edge.listeners.api.early_mutation",
    "edge.listeners.local_replies._native",
    "edge.listeners.local_replies.header",
    "edge.filters.access_control._provider",
    "edge.filters.access_control._claim",
    "edge.filters.local_rate_limit._bucket",
    "edge.routes.route_table._route",
    "edge.routes.route_table._rest",
    "edge.routes.route_table._timing",
    "edge.routes.route_table.cors_policy",
    "edge.routes.route_table.method_access",
    "edge.routes.route_table.public_access",
    "edge.routes.route_table.drop_deadline",
    "edge.routes.route_table.limit_settings",
    "edge.routes.route_table.stream_events",
    "edge.routes.route_table.upload_body_limit",
    "edge.routes.route_table.upload_transcoder",
    "edge.routes.route_table.no_transcoder",
    "edge.clusters.upstreams._tls",
    "edge.clusters.upstreams._health_check",
    "edge.clusters.upstreams._outlier_detection",
    "edge.clusters.upstreams._protocol",
    "edge.clusters.upstreams.secret_source",
)
"""Functions that make a part of the bootstrap document, each where it is called."""


def _is_map_of_parts(part: dict[str, Any]) -> bool:
    return all(isinstance(value, dict) and "@type" in value for value in part.values())


def _misspell(part: Any) -> Any:
    """Adds a field that does not exist to the innermost message that a function has made."""
    if isinstance(part, list):
        return [_misspell(item) for item in part]
    if "typed_config" in part:
        return {**part, "typed_config": _misspell(part["typed_config"])}
    if "@type" not in part and part and _is_map_of_parts(part):
        return {name: _misspell(value) for name, value in part.items()}
    return {**part, "misspelt": True} if part else part


@pytest.mark.parametrize("part", PARTS)
def test_an_unknown_field_is_refused_in_every_part(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, _, name = part.rpartition(".")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    monkeypatch.setattr(part, lambda *args, **more: _misspell(function(*args, **more)))
    settings = replace(kubernetes_settings(), cors_origins=("https://kiosk.example.org",))
    with pytest.raises(ValueError, match='no field named "misspelt"'):
        render_bootstrap(settings)


def test_an_unknown_field_of_a_secret_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "edge.clusters.sds.typed", lambda message, **fields: typed(message, misspelt=True, **fields)
    )
    with pytest.raises(ValueError, match='no field named "misspelt"'):
        render_files(EdgeSettings())


@pytest.mark.parametrize(
    "wrong",
    [
        extension("x", "envoy.extensions.filters.http.cors.v3.Corse"),
        extension("x", "envoy.extensions.filters.http.corse.v3.Cors"),
        extension("x", "mediq.Cors"),
        extension(
            "x",
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            codec_type="AUTOMATIC",
        ),
        extension(
            "x",
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            drain_timeout="5 seconds",
        ),
    ],
    ids=["message", "package", "foreign", "enum", "duration"],
)
def test_unknown_types_and_values_are_refused(wrong: dict[str, Any]) -> None:
    listener = {"name": "edge", "filter_chains": [{"filters": [wrong]}]}
    with pytest.raises(ValueError, match="this is no envoy"):
        require_valid(listener, "envoy.config.listener.v3.Listener")


def test_a_document_is_not_changed() -> None:
    part = typed("envoy.extensions.filters.http.buffer.v3.Buffer", max_request_bytes=1)
    document = {"name": "x", "typed_config": part}
    require_valid(document, "envoy.config.core.v3.TypedExtensionConfig")
    assert list(document["typed_config"]) == ["@type", "max_request_bytes"]

"""The door: one listener for REST and gRPC, and its filters in their order."""

from __future__ import annotations

from edge.filters.access_control import jwt_filter, rbac_filter
from edge.filters.body_limit import body_filter
from edge.filters.cors import cors_filter
from edge.filters.event_stream import stream_filter
from edge.filters.global_rate_limit import limit_filters
from edge.filters.header_mutation import early_mutation, header_filter
from edge.filters.local_rate_limit import rate_filter
from edge.filters.transcoder import transcoder_filter
from edge.listeners.access_log import access_log
from edge.listeners.local_replies import local_replies
from edge.messages import Config, extension, seconds, socket_address
from edge.routes.route_table import route_config
from edge.settings import EdgeSettings

STREAM_WINDOW_BYTES = 64 << 10
CONNECTION_WINDOW_BYTES = 1 << 20
IDLE_SECONDS = 90
"""Silence after which a call ends that has no other limit. Longer than every deadline."""


def _filters(settings: EdgeSettings) -> list[Config]:
    return [
        header_filter(),
        cors_filter(),
        # Before the transcoder, so that it sees what the transcoder has made of an answer.
        stream_filter(),
        # First of the deciding filters: the ones below see native and transcoded calls alike.
        transcoder_filter(settings),
        rate_filter(settings),
        *limit_filters(settings),
        jwt_filter(settings),
        rbac_filter(),
        body_filter(settings),
        extension(
            "envoy.filters.http.router",
            "envoy.extensions.filters.http.router.v3.Router",
            suppress_envoy_headers=True,
        ),
    ]


def _connection_manager(settings: EdgeSettings) -> Config:
    return extension(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="edge",
        codec_type="AUTO",
        route_config=route_config(settings),
        http_filters=_filters(settings),
        access_log=access_log(settings),
        local_reply_config=local_replies(),
        server_name="mediq",
        server_header_transformation="OVERWRITE",
        use_remote_address=True,
        xff_num_trusted_hops=settings.trusted_hops,
        # No address is trusted for being private: phones in the facility's network have one too.
        internal_address_config={"cidr_ranges": [{"address_prefix": "::", "prefix_len": 128}]},
        always_set_request_id_in_response=True,
        early_header_mutation_extensions=[early_mutation()],
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action="REJECT_REQUEST",
        strip_any_host_port=True,
        max_request_headers_kb=32,
        request_headers_timeout="10s",
        request_timeout=seconds(settings.request_timeout_seconds),
        stream_idle_timeout=seconds(IDLE_SECONDS),
        drain_timeout="5s",
        delayed_close_timeout="1s",
        common_http_protocol_options={
            "idle_timeout": "300s",
            "max_headers_count": 64,
            "headers_with_underscores_action": "DROP_HEADER",
        },
        http_protocol_options={"accept_http_10": False},
        http2_protocol_options={
            "max_concurrent_streams": 100,
            "initial_stream_window_size": STREAM_WINDOW_BYTES,
            "initial_connection_window_size": CONNECTION_WINDOW_BYTES,
            "connection_keepalive": {"interval": "60s", "timeout": "20s"},
        },
    )


def api_listener(settings: EdgeSettings) -> Config:
    """Returns the listener of the API."""
    return {
        "name": "edge",
        "address": socket_address(settings.listen_host, settings.listen_port),
        "per_connection_buffer_limit_bytes": settings.body_limit_bytes,
        "filter_chains": [{"filters": [_connection_manager(settings)]}],
    }

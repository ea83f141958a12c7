"""Everything about the edge that may differ between two installations."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from mediq.policy.v1.policy_pb2 import Peer, RateClass

from mesh.contract.methods import SERVERS, methods_of

Endpoint = tuple[str, int]
"""Host (a name or an IP address) and port."""

ROUTED_SERVERS = tuple(
    name
    for name in SERVERS
    if any(Peer.PEER_EDGE in method.policy.callers for method in methods_of(name))
)
"""The servers behind the edge: those that it may call. The card reader is none of them."""


@dataclass(frozen=True)
class Bucket:
    """Describes a token bucket."""

    tokens: int
    """Calls that may come at once."""
    refill: int
    """Calls that become possible again in each interval."""
    interval_seconds: int = 1
    """Length of the interval."""

    @property
    def retry_after_seconds(self) -> int:
        """Returns the time until the next call becomes possible after the last token is gone."""
        return max(1, math.ceil(self.interval_seconds / self.refill))


@dataclass(frozen=True)
class Rates:
    """Holds the limits of one rate class in one Envoy."""

    shared: Bucket
    """For all callers together: protects the servers."""
    address: Bucket
    """For one client address: keeps one caller from using up the shared bucket.

    A whole waiting room may stand behind one address."""


DEFAULT_RATES: Mapping[RateClass.ValueType, Rates] = MappingProxyType(
    {
        RateClass.RATE_CLASS_READ: Rates(Bucket(4000, 2000), Bucket(1000, 500)),
        RateClass.RATE_CLASS_WRITE: Rates(Bucket(1000, 500), Bucket(300, 150)),
        RateClass.RATE_CLASS_LOGIN: Rates(Bucket(200, 50), Bucket(60, 60, 60)),
        RateClass.RATE_CLASS_UPLOAD: Rates(Bucket(40, 10), Bucket(30, 60, 60)),
        # A hall of a thousand phones behind one address opens, or loses its network, at once.
        RateClass.RATE_CLASS_STREAM: Rates(Bucket(4000, 800), Bucket(1000, 200)),
    }
)
"""Limits by rate class. A class without an entry cannot be routed."""


def _default_upstreams() -> Mapping[str, tuple[Endpoint, ...]]:
    return MappingProxyType({name: (("127.0.0.1", SERVERS[name].port),) for name in ROUTED_SERVERS})


@dataclass(frozen=True)
class EdgeSettings:
    """Holds the settings of one Envoy. Relative paths begin at the folder in which it starts."""

    listen_host: str = "127.0.0.1"
    """IP address to listen on."""
    listen_port: int = 8601
    """TCP port of the API."""
    admin_host: str = "127.0.0.1"
    """Address of Envoy's admin interface. It has no password: keep it local."""
    admin_port: int = 8600
    """TCP port of the admin interface. 0 lets the system choose."""
    status_port: int | None = None
    """TCP port on which only readiness and metrics can be read, on `listen_host`. None: none."""
    upstreams: Mapping[str, tuple[Endpoint, ...]] = field(default_factory=_default_upstreams)
    """Where each server listens. Names are resolved again and again, every address is used."""
    tls_folder: str = ".mediq/tls"
    """Folder of edge.crt, edge.key and ca.crt. Renewed files count without a restart."""
    secrets_folder: str = "envoy"
    """Folder of the two files that say where the edge's certificate and its authorities are."""
    descriptor_set: str = "gen/mediq/mediq.binpb"
    """File of the compiled contracts."""
    jwks_file: str = ".mediq/keys/jwks.json"
    """File of the public keys that verify access tokens. Read once, at start."""
    keys_refresh_seconds: float = 30.0
    """How often the public keys are fetched from the account service."""
    access_log: str = "/dev/stdout"
    """File of the access log."""
    cors_origins: tuple[str, ...] = ()
    """Origins of foreign pages that may call the API, such as https://kiosk.example.org."""
    trusted_hops: int = 0
    """Proxies before this one whose X-Forwarded-For entries are true."""
    rates: Mapping[RateClass.ValueType, Rates] = field(default_factory=lambda: DEFAULT_RATES)
    """Limits by rate class."""
    global_limits: bool = True
    """Whether the gateway is asked for the limits of all Envoys together: docs/reference/edge.md"""
    limit_open_seconds: float = 0.1
    """How long a call waits for the gateway's answer that passes without one."""
    limit_closed_seconds: float = 0.5
    """The same for a call that is refused without one. Longer: a busy machine is no flood."""
    addresses_remembered: int = 20_000
    """Client addresses whose buckets are kept; the longest unused one is forgotten first."""
    body_limit_bytes: int = 1 << 20
    """Largest request body."""
    upload_limit_bytes: int = (10 << 20) + (64 << 10)
    """Largest body of an upload: a photo of 10 MiB with the form around it."""
    max_connections: int = 10_000
    """Client connections that may be open at once."""
    max_calls: int = 10_000
    """Calls and streams that one server may have at once."""
    request_timeout_seconds: int = 60
    """Time in which a client must have sent its request."""
    stream_idle_seconds: int = 120
    """Silence after which a live stream is closed. Longer than the heartbeat interval."""
    health_interval_seconds: float = 2.0
    """How often each server is asked whether it serves."""
    server_answer_seconds: float = 1.0
    """Time in which a server takes a connection, and says whether it serves."""

    @property
    def own_host(self) -> str:
        """Returns the address at which this Envoy reaches itself."""
        anywhere = ipaddress.ip_address(self.listen_host).is_unspecified
        return "127.0.0.1" if anywhere else self.listen_host


def kubernetes_settings() -> EdgeSettings:
    """Returns the settings in Kubernetes: headless Services, mounted secrets and keys."""
    return replace(
        EdgeSettings(),
        listen_host="0.0.0.0",  # noqa: S104  # nosec B104 # a pod has no other way in
        status_port=8609,
        upstreams={
            name: ((name.replace("_", "-"), SERVERS[name].port),) for name in ROUTED_SERVERS
        },
        tls_folder="/etc/mediq/tls",
        secrets_folder="/etc/mediq/envoy",
        descriptor_set="/etc/mediq/contracts/mediq.binpb",
        jwks_file="/etc/mediq/keys/jwks.json",
    )

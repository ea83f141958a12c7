"""The whole bootstrap document, as values and as text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import yaml

from edge.clusters import clusters
from edge.listener import listener
from edge.secrets import secret_files
from edge.settings import ROUTED_SERVERS, EdgeSettings
from edge.status import admin_cluster, status_listener
from edge.typed import Config, extension, socket_address
from mesh.contract.methods import SERVERS

BOOTSTRAP = "envoy.yaml"
"""Name of the document that Envoy starts with."""
EXPRESSION_SIZE = 2_000
"""Instructions of RE2 that one expression may have: it is five times the largest one's."""
_HEADER = """\
# Generated from the contracts by `make gen` (edge). Do not edit; see docs/reference/edge.md.
"""


def _overload(settings: EdgeSettings) -> Config:
    return {
        "resource_monitors": [
            extension(
                "envoy.resource_monitors.global_downstream_max_connections",
                "envoy.extensions.resource_monitors.downstream_connections.v3"
                ".DownstreamConnectionsConfig",
                max_active_downstream_connections=settings.max_connections,
            )
        ]
    }


def _runtime() -> Config:
    """One expression of all paths with the same verbs is larger than Envoy allows by itself."""
    size = {"re2.max_program_size.error_level": EXPRESSION_SIZE}
    return {"layers": [{"name": "static", "static_layer": size}]}


def render(settings: EdgeSettings) -> Config:
    """Envoy's bootstrap document.

    Args:
        settings: What differs between installations.

    Raises:
        KeyError: A server has no address, or a rate class no limits.
        ValueError: A contract cannot be routed.
    """
    listeners, targets = [listener(settings)], clusters(settings)
    if settings.status_port is not None:
        listeners.append(status_listener(settings, settings.status_port))
        targets.append(admin_cluster(settings))
    return {
        "node": {"id": "edge", "cluster": "mediq"},
        "admin": {"address": socket_address(settings.admin_host, settings.admin_port)},
        "overload_manager": _overload(settings),
        "layered_runtime": _runtime(),
        "static_resources": {"listeners": listeners, "clusters": targets},
    }


class _Dumper(yaml.SafeDumper):
    """Writes every value in full: the same value in two places is no alias."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    """Writes a text of several lines as such."""
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def to_yaml(document: Config) -> str:
    """The document as text; equal documents give equal texts."""
    return _HEADER + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=100)


def files(settings: EdgeSettings) -> dict[str, str]:
    """Every file of the configuration by name: the bootstrap document and the secrets."""
    documents = {BOOTSTRAP: render(settings), **secret_files(settings)}
    return {name: to_yaml(document) for name, document in documents.items()}


def write(settings: EdgeSettings, file: Path) -> None:
    """Writes the configuration that one Envoy starts with: the document, its secrets beside it.

    Args:
        settings: What differs between installations; `secrets_folder` becomes the file's folder.
        file: The bootstrap document to write.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    texts = files(replace(settings, secrets_folder=str(file.parent)))
    for name in secret_files(settings):
        (file.parent / name).write_text(texts[name], encoding="utf-8")
    file.write_text(texts[BOOTSTRAP], encoding="utf-8")


def committed() -> str:
    """The text of envoy/envoy.yaml."""
    return to_yaml(render(EdgeSettings()))


def kubernetes_settings() -> EdgeSettings:
    """The settings in Kubernetes: headless Services, mounted secrets and keys."""
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


def kubernetes() -> str:
    """The configuration for Kubernetes."""
    return to_yaml(render(kubernetes_settings()))

"""Envoy's own certificate and the authorities that it trusts, as files that it reads again.

Envoy reads a certificate that stands in its bootstrap document once. One that comes by SDS, here
from a file, is read again whenever something is moved into its folder: so mesh.identity.tls and a
Kubernetes volume both put a renewed certificate in place.
"""

from __future__ import annotations

from edge.messages import Config, typed
from edge.settings import EdgeSettings
from edge.validation import require_valid

EDGE = "edge"
"""Name of the edge in its certificate."""
CERTIFICATE = "edge_certificate"
TRUST = "trusted_authorities"
_RESPONSE = "envoy.service.discovery.v3.DiscoveryResponse"
_RESOURCE = "envoy.extensions.transport_sockets.tls.v3.Secret"


def secret_source(settings: EdgeSettings, name: str) -> Config:
    """Returns the SdsSecretConfig that says where a secret comes from.

    Args:
        settings: Say where the files are.
        name: CERTIFICATE or TRUST.
    """
    folder = settings.secrets_folder
    source = {"path": f"{folder}/{name}.yaml", "watched_directory": {"path": folder}}
    return {
        "name": name,
        "sds_config": {"path_config_source": source, "resource_api_version": "V3"},
    }


def secret_documents(settings: EdgeSettings) -> dict[str, Config]:
    """Returns the documents in the folder of secrets, by file name: one secret in each.

    They hold the paths of keys and certificates, not the keys.
    """
    folder = settings.tls_folder
    watched = {"watched_directory": {"path": folder}}
    secrets: dict[str, Config] = {
        CERTIFICATE: {
            "tls_certificate": {
                "certificate_chain": {"filename": f"{folder}/{EDGE}.crt"},
                "private_key": {"filename": f"{folder}/{EDGE}.key"},
                **watched,
            }
        },
        TRUST: {"validation_context": {"trusted_ca": {"filename": f"{folder}/ca.crt"}, **watched}},
    }
    documents: dict[str, Config] = {
        f"{name}.yaml": {"resources": [typed(_RESOURCE, name=name, **secret)]}
        for name, secret in secrets.items()
    }
    for document in documents.values():
        require_valid(document, _RESPONSE)
    return documents

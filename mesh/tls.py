"""Identities: a certificate authority of the mesh, a certificate a service, mTLS credentials.

A peer is named by a SPIFFE URI in its certificate, spiffe://mediq/<name>
(https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md).
"""

import datetime
import ipaddress
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from mediq.policy.v1.policy_pb2 import Peer

from mesh.contracts import peer_name

TRUST_DOMAIN = "spiffe://mediq/"
CA_DAYS = 3650
LEAF_DAYS = 398
"""The longest life of a leaf that browsers accept; services follow the same habit."""
PEERS = {peer_name(value): value for value in Peer.values() if value != Peer.PEER_UNSPECIFIED}
"""Every identity by name."""


def write_private(path: Path, content: bytes) -> None:
    """Writes a file that only its owner may read: whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _builder(
    name: str, issuer: str, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=days))
    )


CA_NAME = "MediQ mesh CA"


def _create_ca(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(CA_NAME, CA_NAME, key, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=True,
                crl_sign=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_private(folder / "ca.key", _pem(key))
    write_private(folder / "ca.crt", certificate.public_bytes(serialization.Encoding.PEM))


def _create_leaf(folder: Path, name: str) -> None:
    ca_key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    ca = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{folder / 'ca.key'} is not an EC key")
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [
        x509.UniformResourceIdentifier(f"{TRUST_DOMAIN}{name}"),
        x509.DNSName(name.replace("_", "-")),
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        _builder(name, CA_NAME, key, LEAF_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.public_key()),  # type: ignore[arg-type]
            critical=False,
        )
        .sign(ca_key, hashes.SHA256())
    )
    write_private(folder / f"{name}.key", _pem(key))
    write_private(folder / f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM))


def ensure_identities(folder: Path, names: Sequence[str] = tuple(PEERS)) -> None:
    """Makes the authority and the missing certificates. What exists and is whole stays.

    Args:
        folder: Where NAME.crt and NAME.key go.
        names: Identities to make.
    """
    if not (folder / "ca.crt").exists():
        _create_ca(folder)
    for name in names:
        if not (folder / f"{name}.crt").exists():
            _create_leaf(folder, name)


def _read(folder: Path, name: str) -> tuple[bytes, bytes, bytes]:
    files = (folder / f"{name}.key", folder / f"{name}.crt", folder / "ca.crt")
    return files[0].read_bytes(), files[1].read_bytes(), files[2].read_bytes()


def server_credentials(folder: Path, name: str) -> grpc.ServerCredentials:
    """Credentials of a server that demands a certificate from every client.

    Raises:
        FileNotFoundError: A file of the identity is missing.
    """
    key, certificate, ca = _read(folder, name)
    return grpc.ssl_server_credentials(
        [(key, certificate)], root_certificates=ca, require_client_auth=True
    )


def channel_credentials(folder: Path, name: str) -> grpc.ChannelCredentials:
    """Credentials of a client that shows the certificate of `name`.

    Raises:
        FileNotFoundError: A file of the identity is missing.
    """
    key, certificate, ca = _read(folder, name)
    return grpc.ssl_channel_credentials(ca, key, certificate)


def peer_of(identities: Iterable[bytes] | None) -> Peer.ValueType:
    """The identity in a verified client certificate; PEER_UNSPECIFIED without one.

    Args:
        identities: Names in the certificate, as gRPC's context gives them.
    """
    for value in identities or ():
        text = value.decode("utf-8", "replace")
        if text.startswith(TRUST_DOMAIN):
            return PEERS.get(text.removeprefix(TRUST_DOMAIN), Peer.PEER_UNSPECIFIED)
    return Peer.PEER_UNSPECIFIED

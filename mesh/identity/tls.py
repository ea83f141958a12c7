"""Identities: a certificate authority of the mesh, a certificate a service, mTLS credentials.

A peer is named by a SPIFFE URI in its certificate, spiffe://mediq/<name>
(https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md). Servers and clients take
renewed files while they run; docs/guides/certificates.md says how.
"""

import datetime
import fcntl
import ipaddress
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from mediq.policy.v1.policy_pb2 import Peer

from mesh.clock import Clock, utc_now
from mesh.contract.methods import peer_name
from mesh.identity.certificates import (
    TRUST_DOMAIN,
    IdentityFiles,
    client_credentials,
    read_identity,
)

__all__ = [
    "PEERS",
    "channel_credentials",
    "ensure_identities",
    "peer_of",
    "renew_identities",
    "server_credentials",
    "write_private",
]

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
    name: str, issuer: str, key: ec.EllipticCurvePrivateKey, days: int, now: datetime.datetime
) -> x509.CertificateBuilder:
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


def _create_ca(folder: Path, now: datetime.datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(CA_NAME, CA_NAME, key, CA_DAYS, now)
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


def _authority(folder: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """Reads the key that signs and its certificate: one of several during a change."""
    key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{folder / 'ca.key'} is not an EC key")
    for certificate in x509.load_pem_x509_certificates((folder / "ca.crt").read_bytes()):
        if certificate.public_key() == key.public_key():
            return key, certificate
    raise ValueError(f"{folder / 'ca.crt'} has no certificate of ca.key")


def _create_leaf(folder: Path, name: str, now: datetime.datetime) -> None:
    ca_key, ca = _authority(folder)
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [
        x509.UniformResourceIdentifier(f"{TRUST_DOMAIN}{name}"),
        x509.DNSName(name.replace("_", "-")),
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        _builder(name, CA_NAME, key, LEAF_DAYS, now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.public_key()),  # type: ignore[arg-type]
            critical=False,
        )
        .sign(ca_key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    _place(folder, name, _pem(key), pem, f"{certificate.serial_number:x}")


def _link(path: Path, target: str) -> None:
    """Makes a symbolic link, or turns it elsewhere, in one step."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.unlink(missing_ok=True)
    scratch.symlink_to(target)
    scratch.replace(path)


def _place(folder: Path, name: str, key: bytes, certificate: bytes, version: str) -> None:
    """Puts a pair of files in the place of another, both in one step.

    The layout is that of a Kubernetes volume: NAME.key and NAME.crt are links into ..NAME, which
    is a link to the folder of one version. Only ..NAME turns. The version before stays, for those
    who read at this moment.
    """
    current, files = folder / f"..{name}", (f"{name}.key", f"{name}.crt")

    def store(version: str, contents: Sequence[bytes]) -> None:
        for file, content in zip(files, contents, strict=True):
            write_private(folder / f"..{name}.{version}" / file, content)
        _link(current, f"..{name}.{version}")

    # Plain files of an older installation become a version first: nothing changes for readers.
    plain = [folder / file for file in files]
    if not current.is_symlink() and all(file.exists() for file in plain):
        store("first", [file.read_bytes() for file in plain])
        for file in files:
            _link(folder / file, f"..{name}/{file}")
    before = current.readlink().name if current.is_symlink() else ""
    store(version, (key, certificate))
    for file in files:
        if not (folder / file).is_symlink():
            _link(folder / file, f"..{name}/{file}")
    for old in folder.glob(f"..{name}.*"):
        if old.name not in (before, f"..{name}.{version}"):
            shutil.rmtree(old)


@contextmanager
def _changing(folder: Path) -> Iterator[None]:
    """Lets one process at a time change the folder."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(folder / ".lock", os.O_WRONLY | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def ensure_identities(
    folder: Path, names: Sequence[str] = tuple(PEERS), clock: Clock = utc_now
) -> None:
    """Makes the authority and the missing certificates. What exists and is whole stays.

    Args:
        folder: Where NAME.crt and NAME.key go.
        names: Identities to make.
        clock: Dates the certificates.

    Raises:
        OSError: The folder cannot be written.
        ValueError: The authority's files are damaged.
    """
    if all((folder / f"{name}.crt").exists() for name in ("ca", *names)):
        return
    with _changing(folder):
        if not (folder / "ca.crt").exists():
            _create_ca(folder, clock())
        for name in names:
            if not (folder / f"{name}.crt").exists():
                _create_leaf(folder, name, clock())


def renew_identities(folder: Path, names: Sequence[str], clock: Clock = utc_now) -> None:
    """Makes new keys and certificates. Whoever reads finds the old pair or the new one.

    Args:
        folder: Where the authority and the identities are.
        names: Identities to renew.
        clock: Dates the certificates.

    Raises:
        OSError: The authority's key is not here, or the folder cannot be written.
        ValueError: The authority's files are damaged.
    """
    with _changing(folder):
        for name in names:
            _create_leaf(folder, name, clock())


def server_credentials(folder: Path, name: str) -> grpc.ServerCredentials:
    """Returns credentials of a server that demands a certificate from every client.

    Renewed files count from the next connection on.

    Raises:
        FileNotFoundError: A file of the identity is missing.
        IdentityError: The files are damaged or do not belong together.
    """
    return IdentityFiles(folder, name).server_credentials()


def channel_credentials(folder: Path, name: str) -> grpc.ChannelCredentials:
    """Returns credentials of a client that shows the certificate of `name` as it is now.

    Raises:
        FileNotFoundError: A file of the identity is missing.
        IdentityError: The files are damaged or do not belong together.
    """
    return client_credentials(read_identity(folder, name))


def peer_of(identities: Iterable[bytes] | None) -> Peer.ValueType:
    """Returns the identity in a verified client certificate; PEER_UNSPECIFIED without one.

    Args:
        identities: Names in the certificate, as gRPC's context gives them.
    """
    for value in identities or ():
        text = value.decode("utf-8", "replace")
        if text.startswith(TRUST_DOMAIN):
            return PEERS.get(text.removeprefix(TRUST_DOMAIN), Peer.PEER_UNSPECIFIED)
    return Peer.PEER_UNSPECIFIED

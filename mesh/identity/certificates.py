"""The certificate that a process shows, read from files that may change while it runs.

Only reading is here; mesh.identity.tls makes identities. See docs/guides/certificates.md.
"""

import datetime
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from mesh.clock import Monotonic
from mesh.identity.watched_file import Stamp, stamp_of
from mesh.observability import logs

__all__ = [
    "TRUST_DOMAIN",
    "Identity",
    "IdentityError",
    "IdentityFiles",
    "client_credentials",
    "read_identity",
]

TRUST_DOMAIN = "spiffe://mediq/"
"""What the URI of every identity begins with."""
POLL_SECONDS = 1.0
"""How often, at most, a running server or client polls its files for a change."""
ENDING = datetime.timedelta(days=14)
"""A certificate that ends within this time is warned of."""

DAMAGED = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.UnsupportedGeneralNameType,
)
"""What cryptography raises for files that are none of ours."""


class IdentityError(ValueError):
    """Says that the files of an identity are damaged, or do not belong together."""


@dataclass(frozen=True)
class Identity:
    """Holds a key, its certificate, and the authorities that are trusted, each in PEM."""

    key: bytes = field(repr=False)
    certificate: bytes
    trust: bytes

    @cached_property
    def leaf(self) -> x509.Certificate:
        """Returns the certificate itself, without the chain that may follow it."""
        return x509.load_pem_x509_certificates(self.certificate)[0]

    @cached_property
    def authorities(self) -> Sequence[x509.Certificate]:
        """Returns the trusted authorities: several while one takes the place of another."""
        return x509.load_pem_x509_certificates(self.trust)

    def ending(self, now: datetime.datetime) -> dict[str, datetime.datetime]:
        """Returns the ends within `ENDING` or before now, by the subject's name and serial."""
        return {
            f"{one.subject.rfc4514_string()} {one.serial_number:x}": one.not_valid_after_utc
            for one in (self.leaf, *self.authorities)
            if one.not_valid_after_utc - now < ENDING
        }


def _files(folder: Path, name: str) -> tuple[Path, Path, Path]:
    return folder / f"{name}.key", folder / f"{name}.crt", folder / "ca.crt"


def _read(folder: Path, name: str) -> Identity:
    found = Identity(*(file.read_bytes() for file in _files(folder, name)))
    try:
        key = serialization.load_pem_private_key(found.key, None)
        matches = key.public_key() == found.leaf.public_key() and len(found.authorities) > 0
        names = found.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except DAMAGED as error:
        raise IdentityError(f"{folder}: the files of {name} are damaged: {error}") from error
    if not matches:
        raise IdentityError(f"{folder}: {name}.key is not the key of {name}.crt")
    if f"{TRUST_DOMAIN}{name}" not in names.get_values_for_type(x509.UniformResourceIdentifier):
        raise IdentityError(f"{folder}: {name}.crt does not name {TRUST_DOMAIN}{name}")
    return found


def _stamps(folder: Path, name: str) -> list[Stamp | None]:
    return [stamp_of(file) for file in _files(folder, name)]


def read_identity(folder: Path, name: str) -> Identity:
    """Reads an identity; again for as long as its files were changed during the reading.

    Raises:
        FileNotFoundError: A file is missing.
        IdentityError: The files are damaged or do not belong together.
    """
    while True:
        before = _stamps(folder, name)
        try:
            return _read(folder, name)
        except (FileNotFoundError, IdentityError):
            if _stamps(folder, name) == before:
                raise


class IdentityFiles:
    """Holds an identity, whose files it reads again when they change. Threads may share it."""

    def __init__(self, folder: Path, name: str, monotonic: Monotonic = time.monotonic) -> None:
        """Reads the files for the first time.

        Args:
            folder: Where NAME.key, NAME.crt and ca.crt are.
            name: Name of the identity.
            monotonic: Tells how old the last poll is.

        Raises:
            FileNotFoundError: A file is missing.
            IdentityError: The files are damaged or do not belong together.
        """
        self.name = name
        self._folder = folder
        self._lock = threading.Lock()
        self._seen = _stamps(self._folder, self.name)
        self._refused: object = None
        self._monotonic = monotonic
        self._polled = monotonic()
        self._identity = read_identity(folder, name)

    def current(self) -> Identity:
        """Returns the identity to use now: another object only when the files have changed.

        Polls the files at most once in `POLL_SECONDS`. Damaged files are logged once, and the
        identity before them stays until they are whole.
        """
        with self._lock:
            now = self._monotonic()
            if now - self._polled >= POLL_SECONDS:
                self._polled = now
                self._poll()
            return self._identity

    def _poll(self) -> None:
        stamp: object = None
        try:
            # Taken before reading: a change in between is found the next time.
            stamp = _stamps(self._folder, self.name)
            if stamp == self._seen:
                return
            found = _read(self._folder, self.name)
        except (OSError, IdentityError) as error:
            problem = (stamp, str(error))
            if problem != self._refused:
                self._refused = problem
                logs.logger().warning(
                    "certificate not taken, the one before stays",
                    identity=self.name,
                    detail=str(error),
                )
            return
        self._seen, self._refused = stamp, None
        if found != self._identity:
            self._identity = found
            logs.logger().info(
                "certificate renewed",
                identity=self.name,
                serial=f"{found.leaf.serial_number:x}",
                not_after=found.leaf.not_valid_after_utc.isoformat(),
            )

    def server_credentials(self) -> grpc.ServerCredentials:
        """Returns credentials that demand a certificate, and poll the files at each connection."""
        used = self.current()

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            nonlocal used
            now = self.current()
            if now is used:
                return None
            used = now
            return _configuration(now)

        first = _configuration(used)
        # None means no change; the type stubs do not know it.
        return grpc.dynamic_ssl_server_credentials(first, fetch, True)  # type: ignore[arg-type]


def _configuration(identity: Identity) -> grpc.ServerCertificateConfiguration:
    pair = (identity.key, identity.certificate)
    return grpc.ssl_server_certificate_configuration([pair], identity.trust)


def client_credentials(identity: Identity) -> grpc.ChannelCredentials:
    """Returns credentials of a client that shows this identity."""
    return grpc.ssl_channel_credentials(identity.trust, identity.key, identity.certificate)

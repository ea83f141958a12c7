"""Personal data at rest: AES-256-GCM fields bound to their row, and a keyed blind index.

The AAD binds a ciphertext to its table, row and column: swapped ciphertexts do not decrypt.
Look-ups go through an HMAC: a plain hash of 16 digits is found again by trying all of them.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mesh.clock import Clock, utc_now
from mesh.encryption.data_keys import DataKeys, file_of, make_data_keys, read_data_keys
from mesh.identity.watched_file import NOW, WatchedFile

__all__ = [
    "DecryptionError",
    "FieldCipher",
]

NONCE_BYTES = 12
"""NIST SP 800-38D section 5.2.1.1."""
REREAD_SECONDS = 1.0
"""How often the file of the keys is polled, at most."""


class DecryptionError(Exception):
    """Says that a ciphertext is damaged, belongs to another row, or its key is gone."""


@dataclass(frozen=True)
class _Ring:
    keys: DataKeys
    ciphers: Mapping[str, AESGCM] = field(repr=False)


def _ring(keys: DataKeys) -> _Ring:
    return _Ring(keys, {key.key_id: AESGCM(key.secret) for key in keys.keys})


def _read_ring(file: Path) -> _Ring:
    return _ring(read_data_keys(file))


class FieldCipher:
    """Encrypts single fields; the key's identifier stands before the ciphertext.

    Threads may share it. One that was loaded from a file follows a rotation without a restart.
    """

    def __init__(
        self,
        current: str,
        keys: Mapping[str, bytes],
        index_key: bytes,
        clock: Clock = utc_now,
    ) -> None:
        """Takes the keys.

        Args:
            current: Identifier of the key that encrypts.
            keys: 32-byte keys by identifier; older ones still decrypt.
            index_key: 32-byte key of the blind index.
            clock: Tells which key encrypts now.

        Raises:
            ValueError: A key or an identifier cannot be one, or `current` is missing.
        """
        self._fixed = _ring(make_data_keys(current, keys, {}, index_key))
        self._followed: WatchedFile[_Ring] | None = None
        self._index_key = index_key
        self._clock = clock

    @classmethod
    def load(cls, folder: Path, service: str, clock: Clock = utc_now) -> "FieldCipher":
        """Reads the data keys of a service, and follows them.

        Args:
            folder: The key folder.
            service: Name of the service.
            clock: Tells which key encrypts now.

        Raises:
            FileNotFoundError: The file does not exist.
            KeyFolderError: It is damaged.
        """
        followed = WatchedFile(file_of(folder, service), _read_ring)
        keys = followed.content(REREAD_SECONDS).keys
        by_id = {key.key_id: key.secret for key in keys.keys}
        current = keys.encrypting(clock().timestamp()).key_id
        made = cls(current, by_id, keys.index_key, clock)
        made._followed = followed
        return made

    def keys(self) -> DataKeys:
        """Returns the keys as they are now."""
        return self._now(REREAD_SECONDS).keys

    def encrypt(self, plain: bytes, row: str) -> bytes:
        """Encrypts `plain` for one place.

        Args:
            plain: What to hide.
            row: The place: table, row and column, such as users/ID/nik.
        """
        ring = self._now(REREAD_SECONDS)
        key_id = ring.keys.encrypting(self._clock().timestamp()).key_id
        nonce = secrets.token_bytes(NONCE_BYTES)
        return (
            key_id.encode()
            + b":"
            + nonce
            + ring.ciphers[key_id].encrypt(nonce, plain, row.encode())
        )

    def decrypt(self, encrypted: bytes, row: str) -> bytes:
        """Decrypts what was encrypted for the same place.

        Raises:
            DecryptionError: Damaged, from another place, or the key is unknown.
        """
        prefix, _, rest = encrypted.partition(b":")
        key_id = prefix.decode("ascii", "replace")
        # Another replica may have read a new key earlier than this one.
        cipher = self._now(REREAD_SECONDS).ciphers.get(key_id) or self._now(NOW).ciphers.get(key_id)
        if cipher is None:
            raise DecryptionError(f"no key for {row}")
        try:
            return cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], row.encode())
        except (InvalidTag, ValueError) as error:
            raise DecryptionError(f"{row} does not decrypt") from error

    def blind_index(self, value: str, purpose: str) -> str:
        """Returns a keyed fingerprint for look-ups, 64 hexadecimal digits.

        Its key never changes: what it made can be neither found nor checked with another one.

        Args:
            value: What is looked up, in its standard form.
            purpose: Keeps the indexes of different columns apart.
        """
        text = f"{purpose}\x00{value}".encode()
        return hmac.new(self._index_key, text, hashlib.sha256).hexdigest()

    def _now(self, every_seconds: float) -> _Ring:
        return self._fixed if self._followed is None else self._followed.content(every_seconds)

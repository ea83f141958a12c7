"""Personal data at rest: AES-256-GCM fields bound to their row, and a keyed blind index.

The AAD binds a ciphertext to its table, row and column: swapped ciphertexts do not decrypt.
Look-ups go through an HMAC: a plain hash of 16 digits is found again by trying all of them.
"""

import base64
import hashlib
import hmac
import json
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mesh.tls import write_private

NONCE_BYTES = 12
"""NIST SP 800-38D section 5.2.1.1."""
KEY_BYTES = 32


def ensure_data_key(folder: Path, service: str) -> None:
    """Makes the data key of a service, when it is missing."""
    path = folder / f"{service}.data-key.json"
    if path.exists():
        return
    key_id = secrets.token_hex(4)
    document = {
        "current": key_id,
        "keys": {key_id: base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()},
        "index": base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode(),
    }
    write_private(path, json.dumps(document).encode())


class DecryptionError(Exception):
    """A ciphertext is damaged, belongs to another row, or its key is gone."""


class FieldCipher:
    """Encrypts single fields; the key's identifier stands before the ciphertext."""

    def __init__(self, current: str, keys: dict[str, bytes], index_key: bytes) -> None:
        """Takes the keys.

        Args:
            current: Identifier of the key that encrypts.
            keys: 32-byte keys by identifier; older ones still decrypt.
            index_key: 32-byte key of the blind index.
        """
        self._current = current
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._index_key = index_key

    @classmethod
    def load(cls, folder: Path, service: str) -> "FieldCipher":
        """Reads the data key of a service.

        Raises:
            FileNotFoundError: The key does not exist.
        """
        document = json.loads((folder / f"{service}.data-key.json").read_bytes())
        keys = {key_id: base64.b64decode(key) for key_id, key in document["keys"].items()}
        return cls(document["current"], keys, base64.b64decode(document["index"]))

    def encrypt(self, plain: bytes, row: str) -> bytes:
        """Encrypts `plain` for one place.

        Args:
            plain: What to hide.
            row: The place: table, row and column, such as users/ID/nik.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._ciphers[self._current].encrypt(nonce, plain, row.encode())
        return self._current.encode() + b":" + nonce + sealed

    def decrypt(self, sealed: bytes, row: str) -> bytes:
        """Decrypts what was encrypted for the same place.

        Raises:
            DecryptionError: Damaged, from another place, or the key is unknown.
        """
        key_id, _, rest = sealed.partition(b":")
        cipher = self._ciphers.get(key_id.decode("ascii", "replace"))
        if cipher is None:
            raise DecryptionError(f"no key for {row}")
        try:
            return cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], row.encode())
        except InvalidTag as error:
            raise DecryptionError(f"{row} does not decrypt") from error

    def blind_index(self, value: str, purpose: str) -> str:
        """A keyed fingerprint for look-ups, 64 hexadecimal digits.

        Args:
            value: What is looked up, in its standard form.
            purpose: Keeps the indexes of different columns apart.
        """
        text = f"{purpose}\x00{value}".encode()
        return hmac.new(self._index_key, text, hashlib.sha256).hexdigest()

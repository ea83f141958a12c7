"""The key of the audit trail's chain.

It is no data key: a new data key re-encrypts the trail and leaves the chain as it is. It is never
changed, because every entry's HMAC was made with it.
"""

import base64
import binascii
import json
import secrets
from pathlib import Path

from mesh.encryption.data_keys import KEY_BYTES
from mesh.identity.key_set import KeyFolderError
from mesh.identity.tls import write_private

__all__ = [
    "ensure_audit_key",
    "load_audit_key",
]

AUDIT_KEY = "audit.key.json"
"""Name in the key folder. Only the account service reads it."""


def ensure_audit_key(folder: Path) -> None:
    """Makes the key, when it is missing."""
    path = folder / AUDIT_KEY
    if path.exists():
        return
    key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    write_private(path, json.dumps({"key": key}).encode())


def load_audit_key(folder: Path) -> bytes:
    """Reads the key, 32 bytes.

    Raises:
        FileNotFoundError: The key does not exist.
        KeyFolderError: The file is damaged.
    """
    path = folder / AUDIT_KEY
    try:
        key = base64.b64decode(json.loads(path.read_bytes())["key"], validate=True)
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise KeyFolderError(f"{path} is damaged: {error}") from error
    if len(key) != KEY_BYTES:
        raise KeyFolderError(f"{path} is damaged: the key has {len(key)} bytes, not {KEY_BYTES}")
    return key

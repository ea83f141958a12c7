"""The data keys of a service: which one encrypts when, and which ones still decrypt.

`<service>.data-key.json` says it all. A new key decrypts at once and encrypts later, so that no
replica meets a ciphertext whose key it has not read yet. See docs/guides/data-keys.md.
"""

import base64
import binascii
import json
import math
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from mesh.clock import Clock, utc_now
from mesh.identity.key_set import CLOCK_MARGIN_SECONDS, KeyFolderError
from mesh.identity.signing_keys import ANNOUNCE_SECONDS, alone
from mesh.identity.tls import write_private

__all__ = [
    "KEY_BYTES",
    "QUIET_SECONDS",
    "DataKey",
    "DataKeys",
    "Listed",
    "State",
    "ensure_data_key",
    "file_of",
    "make_data_keys",
    "read_data_keys",
    "remove",
    "rotate",
]

KEY_BYTES = 32
"""Length of a key: AES-256."""
UNIT_SECONDS = 60
"""How long after a field was encrypted its unit of work may still commit: longer than any call."""
QUIET_SECONDS = CLOCK_MARGIN_SECONDS + UNIT_SECONDS
"""How long after a key has taken over, a ciphertext of the key before it may still appear."""


class State(StrEnum):
    """Says what a key does now."""

    ANNOUNCED = "announced"
    """Decrypts, and will encrypt."""
    ENCRYPTING = "encrypting"
    """Encrypts and decrypts."""
    LEAVING = "leaving"
    """Decrypts; a replica whose clock is slow may still encrypt with it."""
    DECRYPTING = "decrypting"
    """Only decrypts."""


@dataclass(frozen=True)
class DataKey:
    """Holds a key of AES-256-GCM."""

    key_id: str
    """Stands before each of its ciphertexts."""
    secret: bytes = field(repr=False)
    encrypts_from: int
    """Seconds since the epoch; 0 means from the start."""


@dataclass(frozen=True)
class Listed:
    """Holds a key and what it does now."""

    key: DataKey
    state: State
    quiet_from: float | None
    """From when on nobody encrypts with it, in seconds since the epoch; None as long as no other
    key takes its place."""


@dataclass(frozen=True)
class DataKeys:
    """Holds the keys of a service."""

    keys: Sequence[DataKey]
    """At least one, in the order in which they begin to encrypt."""
    index_key: bytes = field(repr=False)
    """Of the blind index. It never changes."""

    def encrypting(self, now: float) -> DataKey:
        """Returns the key that encrypts at a time: the last one whose time has come.

        Args:
            now: Seconds since the epoch.
        """
        for key in reversed(self.keys):
            if key.encrypts_from <= now:
                return key
        return self.keys[0]

    def superseded(self, now: float) -> Sequence[str]:
        """Returns the identifiers of the keys whose place the one that encrypts has taken.

        Args:
            now: Seconds since the epoch.
        """
        return [key.key_id for key in self.keys[: self.keys.index(self.encrypting(now))]]

    def listed(self, now: float) -> Sequence[Listed]:
        """Returns what each key does at a time.

        Args:
            now: Seconds since the epoch.
        """
        encrypting = self.encrypting(now)
        before = self.superseded(now)
        found: list[Listed] = []
        for position, key in enumerate(self.keys):
            following = self.keys[position + 1] if position + 1 < len(self.keys) else None
            quiet = None if following is None else following.encrypts_from + QUIET_SECONDS
            if key is encrypting:
                state = State.ENCRYPTING
            elif key.key_id not in before:
                state = State.ANNOUNCED
            else:
                state = State.DECRYPTING if quiet is not None and quiet <= now else State.LEAVING
            found.append(Listed(key, state, quiet))
        return found


def make_data_keys(
    current: str, secrets_by_id: Mapping[str, bytes], begins: Mapping[str, int], index_key: bytes
) -> DataKeys:
    """Makes keys, in the order in which they begin to encrypt.

    Args:
        current: Identifier of the one that encrypts among those without a time.
        secrets_by_id: 32-byte keys by identifier.
        begins: When a key begins to encrypt, in seconds since the epoch.
        index_key: 32-byte key of the blind index.

    Raises:
        ValueError: A key or an identifier cannot be one, or something names a key that is missing.
    """
    missing = {current, *begins} - secrets_by_id.keys()
    if missing:
        raise ValueError(f"no key {', '.join(sorted(missing))}")
    for key_id, secret in (*secrets_by_id.items(), ("index", index_key)):
        if len(secret) != KEY_BYTES:
            raise ValueError(f"the key {key_id} has not {KEY_BYTES} bytes")
        if not key_id.isascii() or not key_id or ":" in key_id:
            raise ValueError(f"{key_id!r} is no identifier of a key")
    keys = [
        DataKey(key_id, secret, begins.get(key_id, 0)) for key_id, secret in secrets_by_id.items()
    ]
    keys.sort(key=lambda key: (key.encrypts_from, key.encrypts_from == 0 and key.key_id == current))
    return DataKeys(keys, index_key)


def file_of(folder: Path, service: str) -> Path:
    """Returns the file of a service's data keys."""
    return folder / f"{service}.data-key.json"


def read_data_keys(file: Path) -> DataKeys:
    """Reads the keys in a file.

    Raises:
        FileNotFoundError: The file does not exist.
        KeyFolderError: It is damaged.
    """
    try:
        document = json.loads(file.read_bytes())
        return make_data_keys(
            document["current"],
            {key_id: _decoded(text) for key_id, text in document["keys"].items()},
            # Absent in files from before rotation.
            {key_id: math.ceil(at) for key_id, at in document.get("encrypts_from", {}).items()},
            _decoded(document["index"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise KeyFolderError(f"{file} is damaged: {error}") from error


def ensure_data_key(folder: Path, service: str, clock: Clock = utc_now) -> None:
    """Makes the first data key of a service, when there is none.

    Args:
        folder: The key folder.
        service: Name of the service.
        clock: Tells what now is.

    Raises:
        OSError: The folder cannot be written.
    """
    file = file_of(folder, service)
    if file.exists():
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with alone(folder):
        if not file.exists():
            first = DataKey(secrets.token_hex(4), secrets.token_bytes(KEY_BYTES), 0)
            _write(file, DataKeys([first], secrets.token_bytes(KEY_BYTES)), clock)


def rotate(
    folder: Path,
    service: str,
    after_seconds: float = ANNOUNCE_SECONDS,
    clock: Clock = utc_now,
) -> DataKey:
    """Adds a key, which decrypts at once and encrypts later.

    Args:
        folder: The key folder.
        service: Name of the service.
        after_seconds: When the key begins to encrypt.
        clock: Tells what now is.

    Returns:
        The new key.

    Raises:
        FileNotFoundError: The service has no keys.
        KeyFolderError: Its file is damaged.
        OSError: It cannot be written.
    """
    file = file_of(folder, service)
    with alone(folder):
        before = read_data_keys(file)
        taken = {key.key_id for key in before.keys}
        key_id = secrets.token_hex(4)
        while key_id in taken:
            key_id = secrets.token_hex(4)
        # Never before a key that was announced earlier: the newest key is the last to encrypt.
        begins = max(math.ceil(clock().timestamp() + after_seconds), before.keys[-1].encrypts_from)
        added = DataKey(key_id, secrets.token_bytes(KEY_BYTES), begins)
        _write(file, DataKeys([*before.keys, added], before.index_key), clock)
        return added


def remove(
    folder: Path, service: str, key_ids: Collection[str], clock: Clock = utc_now
) -> Sequence[str]:
    """Removes keys. One that encrypts, will encrypt or may still encrypt somewhere stays.

    Args:
        folder: The key folder.
        service: Name of the service.
        key_ids: Keys that no ciphertext needs any more.
        clock: Tells what now is.

    Returns:
        Identifiers of the removed keys.

    Raises:
        FileNotFoundError: The service has no keys.
        KeyFolderError: Its file is damaged.
        OSError: It cannot be written.
    """
    file = file_of(folder, service)
    with alone(folder):
        before = read_data_keys(file)
        removed = [
            one.key.key_id
            for one in before.listed(clock().timestamp())
            if one.state is State.DECRYPTING and one.key.key_id in key_ids
        ]
        if removed:
            kept = [key for key in before.keys if key.key_id not in removed]
            _write(file, DataKeys(kept, before.index_key), clock)
        return removed


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        # The cause would go into logs, with a part of the key.
        raise ValueError("a key is not base 64") from None


def _write(file: Path, keys: DataKeys, clock: Clock) -> None:
    document = {
        # Readers from before rotation encrypt with this one.
        "current": keys.encrypting(clock().timestamp()).key_id,
        "keys": {key.key_id: base64.b64encode(key.secret).decode() for key in keys.keys},
        "encrypts_from": {
            key.key_id: key.encrypts_from for key in keys.keys if key.encrypts_from > 0
        },
        "index": base64.b64encode(keys.index_key).decode(),
    }
    write_private(file, json.dumps(document).encode())

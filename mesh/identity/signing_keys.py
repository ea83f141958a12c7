"""The key folder of access tokens: which key signs when, and which ones still verify.

`jwks.json` says it all: the public keys (RFC 7517) that verify and, in a member of each that other
readers pass over, when it begins to sign. The private halves are `jwt-signing.pem` (the first key)
and `jwt-signing-<kid>.pem`. A private half is written before jwks.json names it and goes after
jwks.json has dropped it: a crash in between leaves a file that nothing refers to.
"""

import fcntl
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mesh.clock import Clock, utc_now
from mesh.identity.tls import write_private

__all__ = [
    "ALGORITHM",
    "ANNOUNCE_SECONDS",
    "CLOCK_MARGIN_SECONDS",
    "KEY_SET",
    "LONGEST_TOKEN_SECONDS",
    "KeyFolderError",
    "Listed",
    "PublicKey",
    "State",
    "alone",
    "ensure_signing_key",
    "key_id_of",
    "listed",
    "prune",
    "read_key_set",
    "read_private_keys",
    "revoke",
    "rotate",
    "signing_key",
    "verification_keys",
]

ALGORITHM = "ES256"
"""The only algorithm of access tokens (RFC 7518, section 3.4)."""
LONGEST_TOKEN_SECONDS = 12 * 3600
"""No access token lives longer; the session of a patient's tickets lives as long."""
CLOCK_MARGIN_SECONDS = 60
"""By how much the clocks of two machines may differ."""
OVERLAP_SECONDS = LONGEST_TOKEN_SECONDS + CLOCK_MARGIN_SECONDS
"""How long a key verifies after another one has begun to sign."""
ANNOUNCE_SECONDS = 60.0
"""Time between a key's publication and its first signature. Services read the key set every second,
Envoy fetches it every 30 seconds."""
KEY_SET = "jwks.json"
"""File of the public keys in a key folder."""
FIRST_KEY = "jwt-signing.pem"
SIGNS_FROM = "mediq_signs_from"
"""Member of a key: seconds since the epoch. A key without it signs from the start."""


class KeyFolderError(ValueError):
    """Says that a file of the key folder is damaged or missing. The text names the file."""


class State(StrEnum):
    """Says what a key does now."""

    ANNOUNCED = "announced"
    """Verifies, and will sign."""
    SIGNING = "signing"
    """Signs and verifies."""
    VERIFYING = "verifying"
    """Verifies the tokens that it signed before."""
    REMOVABLE = "removable"
    """Every token that it signed has ended."""


@dataclass(frozen=True)
class PublicKey:
    """Holds a key of the key set. Times are in seconds since the epoch."""

    key_id: str
    signs_from: float
    jwk: dict[str, Any]
    """The entry of the key set, as it is written."""


@dataclass(frozen=True)
class Listed:
    """Holds a key and what it does now. Times are in seconds since the epoch."""

    key: PublicKey
    state: State
    removed_from: float | None
    """When `prune` removes it; None as long as no other key takes its place."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keeps a second command away from the folder: one of two rotations would be lost.

    Args:
        folder: The key folder.

    Raises:
        FileNotFoundError: It does not exist.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read_key_set(file: Path) -> list[PublicKey]:
    """Reads the keys of a key set, in the order in which they begin to sign.

    Raises:
        FileNotFoundError: The file does not exist.
        KeyFolderError: It is damaged, or holds no key.
    """
    try:
        entries = json.loads(file.read_bytes())["keys"]
        keys = [PublicKey(one["kid"], float(one.get(SIGNS_FROM, 0)), one) for one in entries]
        verification_keys(keys)
    except (ValueError, KeyError, TypeError, AttributeError, jwt.PyJWTError) as error:
        raise KeyFolderError(f"{file} is damaged: {error}") from error
    if not keys:
        raise KeyFolderError(f"{file} holds no key")
    return sorted(keys, key=lambda key: key.signs_from)


def verification_keys(keys: list[PublicKey]) -> dict[str, jwt.PyJWK]:
    """Returns what verifies signatures, by the identifier of the key.

    Raises:
        jwt.PyJWTError: An entry is no public key.
    """
    return {key.key_id: jwt.PyJWK(key.jwk, ALGORITHM) for key in keys}


def signing_key(keys: list[PublicKey], now: float) -> PublicKey:
    """Returns the key that signs now: the latest one whose time has come.

    Args:
        keys: As `read_key_set` gives them; at least one.
        now: Seconds since the epoch.
    """
    begun = [key for key in keys if key.signs_from <= now]
    return begun[-1] if begun else keys[0]


def key_id_of(key: ec.EllipticCurvePrivateKey) -> str:
    """Returns the identifier of a key: it follows from the public half."""
    point = key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
    )
    return uuid.uuid5(uuid.NAMESPACE_OID, point.hex()).hex[:16]


def read_private_keys(folder: Path) -> dict[str, ec.EllipticCurvePrivateKey]:
    """Reads the private halves in a key folder, by the identifier of the key.

    Raises:
        KeyFolderError: A file is damaged.
    """
    return {key_id_of(key): key for _, key in _private_files(folder)}


def ensure_signing_key(folder: Path, clock: Clock = utc_now) -> None:
    """Makes the first signing key and the public key set, when they are missing.

    Args:
        folder: The key folder.
        clock: Tells when the key begins to sign.

    Raises:
        KeyFolderError: The key set is missing, and a private key is damaged.
    """
    if (folder / KEY_SET).exists() and any(_private_paths(folder)):
        return
    if not any(_private_paths(folder)):
        # A key set whose private keys are lost verifies nothing that anybody can sign.
        _write_private_key(folder / FIRST_KEY, ec.generate_private_key(ec.SECP256R1()))
    found = sorted(_private_files(folder), key=lambda item: item[0].stat().st_mtime)
    now = int(clock().timestamp())
    _write_key_set(
        folder,
        # The order in which they were made, so that the newest one signs.
        [_public(key, min(now, int(path.stat().st_mtime))) for path, key in found],
    )


def rotate(
    folder: Path, after_seconds: float = ANNOUNCE_SECONDS, clock: Clock = utc_now
) -> PublicKey:
    """Adds a key, which verifies at once and signs later, and prunes.

    Args:
        folder: The key folder.
        after_seconds: When the key begins to sign. Shorter than ANNOUNCE_SECONDS, and its first
            tokens are refused where it is not known yet.
        clock: Tells what now is.

    Returns:
        The new key.

    Raises:
        FileNotFoundError: The folder has no key set.
        KeyFolderError: A file is damaged.
    """
    with alone(folder):
        now = clock().timestamp()
        keys = _prune(folder, now)
        private = ec.generate_private_key(ec.SECP256R1())
        # Never before a key that was announced earlier: the newest key is the last one to sign.
        added = _public(private, max(now + after_seconds, keys[-1].signs_from))
        _write_private_key(folder / f"jwt-signing-{added.key_id}.pem", private)
        _write_key_set(folder, [*keys, added])
        return added


def prune(folder: Path, clock: Clock = utc_now) -> list[str]:
    """Removes the keys whose every token has ended, and private halves that nothing refers to.

    Args:
        folder: The key folder.
        clock: Tells what now is.

    Returns:
        Identifiers of the removed keys.

    Raises:
        FileNotFoundError: The folder has no key set.
        KeyFolderError: A file is damaged.
    """
    with alone(folder):
        before = read_key_set(folder / KEY_SET)
        kept = {key.key_id for key in _prune(folder, clock().timestamp())}
        return [key.key_id for key in before if key.key_id not in kept]


def revoke(folder: Path, key_id: str, clock: Clock = utc_now) -> PublicKey:
    """Takes a key out at once, such as one that was stolen: what it signed verifies no more.

    A key that signs now takes its place when no other one does.

    Args:
        folder: The key folder.
        key_id: Identifier of the key.
        clock: Tells what now is.

    Returns:
        The key that signs now.

    Raises:
        LookupError: There is no such key.
        FileNotFoundError: The folder has no key set.
        KeyFolderError: A file is damaged.
    """
    with alone(folder):
        now = clock().timestamp()
        before = read_key_set(folder / KEY_SET)
        kept = [key for key in before if key.key_id != key_id]
        if len(kept) == len(before):
            raise LookupError(f"there is no key {key_id}")
        if not any(key.signs_from <= now for key in kept):
            # Of those that are announced, none is known everywhere: a new one is no worse.
            private = ec.generate_private_key(ec.SECP256R1())
            added = _public(private, int(now))
            _write_private_key(folder / f"jwt-signing-{added.key_id}.pem", private)
            kept = [added, *kept]
        _write_key_set(folder, kept)
        for path, private in _private_files(folder):
            if key_id_of(private) == key_id:
                path.unlink()
        return signing_key(kept, now)


def listed(keys: list[PublicKey], now: float) -> list[Listed]:
    """Returns what each key does at a time.

    Args:
        keys: As `read_key_set` gives them.
        now: Seconds since the epoch.
    """
    signing = signing_key(keys, now)
    found: list[Listed] = []
    for position, key in enumerate(keys):
        following = keys[position + 1] if position + 1 < len(keys) else None
        ends = None if following is None else following.signs_from + OVERLAP_SECONDS
        if key is signing:
            state = State.SIGNING
        elif key.signs_from > now:
            state = State.ANNOUNCED
        else:
            state = State.REMOVABLE if ends is not None and ends <= now else State.VERIFYING
        found.append(Listed(key, state, ends))
    return found


def _prune(folder: Path, now: float) -> list[PublicKey]:
    keys = read_key_set(folder / KEY_SET)
    files = _private_files(folder)
    kept = [one.key for one in listed(keys, now) if one.state is not State.REMOVABLE]
    if len(kept) < len(keys):
        _write_key_set(folder, kept)
    known = {key.key_id for key in kept}
    for path, private in files:
        if key_id_of(private) not in known:
            path.unlink()
    return kept


def _private_paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("jwt-signing*.pem"))


def _private_files(folder: Path) -> list[tuple[Path, ec.EllipticCurvePrivateKey]]:
    found: list[tuple[Path, ec.EllipticCurvePrivateKey]] = []
    for path in _private_paths(folder):
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise KeyFolderError(f"{path} is damaged: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise KeyFolderError(f"{path} is not an EC private key")
        found.append((path, key))
    return found


def _public(key: ec.EllipticCurvePrivateKey, signs_from: float) -> PublicKey:
    identifier = key_id_of(key)
    public = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    # Rounded up: a second too late, never one too early.
    whole = int(-(-signs_from // 1))
    jwk = {**public, "kid": identifier, "use": "sig", "alg": ALGORITHM, SIGNS_FROM: whole}
    return PublicKey(identifier, whole, jwk)


def _write_private_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    write_private(
        path,
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def _write_key_set(folder: Path, keys: list[PublicKey]) -> None:
    write_private(folder / KEY_SET, json.dumps({"keys": [key.jwk for key in keys]}).encode())

"""The key set of access tokens, read: which key signs when, and which ones still verify.

`jwks.json` says it all: the public keys (RFC 7517) that verify and, in a member of each that other
readers pass over, when it begins to sign. The private halves are `jwt-signing.pem` (the first key)
and `jwt-signing-<kid>.pem`.
"""

import json
import uuid
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

__all__ = [
    "ALGORITHM",
    "CLOCK_MARGIN_SECONDS",
    "KEY_SET",
    "LONGEST_TOKEN_SECONDS",
    "OVERLAP_SECONDS",
    "SIGNS_FROM",
    "KeyFolderError",
    "Listed",
    "PublicKey",
    "State",
    "key_id_of",
    "listed",
    "private_key_files",
    "private_key_paths",
    "read_key_set",
    "read_private_keys",
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
KEY_SET = "jwks.json"
"""File of the public keys in a key folder."""
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
    return {key_id_of(key): key for _, key in private_key_files(folder)}


def private_key_paths(folder: Path) -> list[Path]:
    """Lists the files of private halves in a key folder."""
    return sorted(folder.glob("jwt-signing*.pem"))


def private_key_files(folder: Path) -> list[tuple[Path, ec.EllipticCurvePrivateKey]]:
    """Reads the private halves in a key folder, each with its file.

    Raises:
        KeyFolderError: A file is damaged.
    """
    found: list[tuple[Path, ec.EllipticCurvePrivateKey]] = []
    for path in private_key_paths(folder):
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise KeyFolderError(f"{path} is damaged: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise KeyFolderError(f"{path} is not an EC private key")
        found.append((path, key))
    return found

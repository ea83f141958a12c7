"""The signing keys of access tokens: made, rotated, pruned and revoked.

A private half is written before jwks.json names it and goes after jwks.json has dropped it: a crash
in between leaves a file that nothing refers to. What the key set says is read in `key_set`.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mesh.clock import Clock, utc_now
from mesh.identity.key_set import (
    ALGORITHM,
    KEY_SET,
    SIGNS_FROM,
    PublicKey,
    State,
    key_id_of,
    listed,
    private_key_files,
    private_key_paths,
    read_key_set,
    signing_key,
)
from mesh.identity.tls import write_private

__all__ = [
    "ANNOUNCE_SECONDS",
    "alone",
    "ensure_signing_key",
    "prune",
    "revoke",
    "rotate",
]

ANNOUNCE_SECONDS = 60.0
"""Time between a key's publication and its first signature. Services read the key set every second,
Envoy fetches it every 30 seconds."""
FIRST_KEY = "jwt-signing.pem"


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


def ensure_signing_key(folder: Path, clock: Clock = utc_now) -> None:
    """Makes the first signing key and the public key set, when they are missing.

    Args:
        folder: The key folder.
        clock: Tells when the key begins to sign.

    Raises:
        KeyFolderError: The key set is missing, and a private key is damaged.
    """
    if (folder / KEY_SET).exists() and any(private_key_paths(folder)):
        return
    if not any(private_key_paths(folder)):
        # A key set whose private keys are lost verifies nothing that anybody can sign.
        _write_private_key(folder / FIRST_KEY, ec.generate_private_key(ec.SECP256R1()))
    found = sorted(private_key_files(folder), key=lambda item: item[0].stat().st_mtime)
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
        for path, private in private_key_files(folder):
            if key_id_of(private) == key_id:
                path.unlink()
        return signing_key(kept, now)


def _prune(folder: Path, now: float) -> list[PublicKey]:
    keys = read_key_set(folder / KEY_SET)
    files = private_key_files(folder)
    kept = [one.key for one in listed(keys, now) if one.state is not State.REMOVABLE]
    if len(kept) < len(keys):
        _write_key_set(folder, kept)
    known = {key.key_id for key in kept}
    for path, private in files:
        if key_id_of(private) not in known:
            path.unlink()
    return kept


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

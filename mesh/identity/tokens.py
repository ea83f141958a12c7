"""Access tokens: signing in the account service, verification everywhere.

ES256 JWTs (RFC 7519, RFC 7518 section 3.4). The verifier follows RFC 8725: one algorithm, issuer,
audience and expiry required, keys only from the local set, never from the token.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jwt
from cachetools import LRUCache
from cryptography.hazmat.primitives.asymmetric import ec
from mediq.policy.v1.policy_pb2 import Role, Scope

from mesh.clock import Clock, utc_now
from mesh.contract.call import Principal
from mesh.contract.methods import role_name, scope_name
from mesh.errors import MeshError, StatusCode
from mesh.identity.key_set import (
    ALGORITHM,
    KEY_SET,
    LONGEST_TOKEN_SECONDS,
    KeyFolderError,
    PublicKey,
    read_key_set,
    read_private_keys,
    signing_key,
    verification_keys,
)
from mesh.identity.watched_file import WatchedFile

__all__ = [
    "AUDIENCE",
    "ISSUER",
    "LEEWAY_SECONDS",
    "TokenSigner",
    "TokenVerifier",
]

ISSUER = "mediq"
"""Who signs access tokens."""
AUDIENCE = "mediq"
"""Whom they are for."""
LEEWAY_SECONDS = 5
"""How long after its end a token still counts: clocks differ."""
REREAD_SECONDS = 1.0
"""How often the key set file is polled for a change."""
CACHED_TOKENS = 4096
"""Verified tokens that a process remembers."""
_ROLES = {role_name(value): value for value in Role.values()}
_SCOPES = {scope_name(value): value for value in Scope.values()}


@dataclass(frozen=True)
class _Signing:
    keys: list[PublicKey]
    private: dict[str, ec.EllipticCurvePrivateKey]


def _read_signing(key_set: Path, clock: Clock) -> _Signing:
    keys, private = read_key_set(key_set), read_private_keys(key_set.parent)
    first = keys.index(signing_key(keys, clock().timestamp()))
    for key in keys[first:]:
        if key.key_id not in private:
            raise KeyFolderError(f"{key_set.parent} lacks the private key of {key.key_id}")
    return _Signing(keys, private)


class TokenSigner:
    """Signs access tokens with the key whose time it is. Only the account service has one.

    A rotation is followed without a restart.
    """

    def __init__(self, folder: Path, clock: Clock = utc_now) -> None:
        """Reads the key folder.

        Args:
            folder: The key folder.
            clock: Dates the tokens, and tells whose time it is.

        Raises:
            FileNotFoundError: The key set does not exist.
            KeyFolderError: A file is damaged, or the private half of a key that signs is missing.
        """
        self._clock = clock
        self._signing = WatchedFile(folder / KEY_SET, partial(_read_signing, clock=clock))

    @property
    def key_id(self) -> str:
        """Returns the identifier of the key that signs now."""
        return self._current()[0]

    def _current(self) -> tuple[str, ec.EllipticCurvePrivateKey]:
        found = self._signing.content(REREAD_SECONDS)
        identifier = signing_key(found.keys, self._clock().timestamp()).key_id
        return identifier, found.private[identifier]

    def sign(
        self,
        subject: str,
        *,
        lifetime_seconds: int,
        session_id: str,
        role: Role.ValueType = Role.ROLE_UNSPECIFIED,
        scope: Scope.ValueType = Scope.SCOPE_UNSPECIFIED,
        institution_id: str = "",
    ) -> tuple[str, float]:
        """Makes a token; returns it, and when it ends in seconds since the epoch.

        Raises:
            ValueError: The token would outlive LONGEST_TOKEN_SECONDS, and so its key.
        """
        if lifetime_seconds > LONGEST_TOKEN_SECONDS:
            raise ValueError(f"a token lives at most {LONGEST_TOKEN_SECONDS} seconds")
        key_id, key = self._current()
        now = int(self._clock().timestamp())
        claims: dict[str, object] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "iat": now,
            "nbf": now,
            "exp": now + lifetime_seconds,
            "jti": uuid.uuid4().hex,
            "sid": session_id,
        }
        if role != Role.ROLE_UNSPECIFIED:
            claims["role"] = role_name(role)
        if scope != Scope.SCOPE_UNSPECIFIED:
            claims["scope"] = scope_name(scope)
        if institution_id:
            claims["institution_id"] = institution_id
        headers = {"kid": key_id, "typ": "at+jwt"}
        return jwt.encode(claims, key, ALGORITHM, headers), now + lifetime_seconds


def _read_verification(key_set: Path) -> dict[str, jwt.PyJWK]:
    return verification_keys(read_key_set(key_set))


def _refuses_nothing(_: Principal) -> bool:
    return False


class TokenVerifier:
    """Verifies access tokens against the key set file, which may change at any time."""

    def __init__(
        self,
        jwks_file: Path,
        revoked: Callable[[Principal], bool] = _refuses_nothing,
        clock: Clock = utc_now,
    ) -> None:
        """Reads the key set.

        Args:
            jwks_file: The key set.
            revoked: Whether a good token was ended early; asked at every call, so it must be quick.
            clock: Tells when a token that was verified before has ended. PyJWT, which verifies
                it the first time, reads the system's clock.

        Raises:
            FileNotFoundError: The file does not exist.
            KeyFolderError: The file is damaged.
        """
        self._cache: LRUCache[str, Principal] = LRUCache(CACHED_TOKENS)
        self._revoked = revoked
        self._clock = clock
        self._watched = WatchedFile(jwks_file, _read_verification)
        self._keys = self._watched.content(REREAD_SECONDS)

    def verify(self, token: str) -> Principal:
        """Returns the principal of a valid token.

        Raises:
            MeshError: UNAUTHENTICATED with reason TOKEN_EXPIRED, TOKEN_REVOKED or TOKEN_INVALID.
        """
        keys = self._watched.content(REREAD_SECONDS)
        if keys is not self._keys:
            self._keys = keys
            self._cache.clear()
        found = self._cache.get(token)
        if found is None or found.expires_at + LEEWAY_SECONDS <= self._clock().timestamp():
            found = self._decode(token, keys)
            self._cache[token] = found
        # Asked of a remembered token too: it may have been revoked since.
        if self._revoked(found):
            raise MeshError(
                "this session has ended, sign in again", StatusCode.UNAUTHENTICATED, "TOKEN_REVOKED"
            )
        return found

    def _decode(self, token: str, keys: dict[str, jwt.PyJWK]) -> Principal:
        try:
            header = jwt.get_unverified_header(token)
            if header.get("typ") != "at+jwt":
                raise jwt.InvalidTokenError("not an access token")
            claims = jwt.decode(
                token,
                keys[header["kid"]],
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "nbf", "sub", "jti", "sid", "iss", "aud"]},
            )
            return Principal(
                subject=str(claims["sub"]),
                role=_ROLES[claims.get("role", "UNSPECIFIED")],
                scope=_SCOPES[claims.get("scope", "UNSPECIFIED")],
                institution_id=str(claims.get("institution_id", "")),
                session_id=str(claims["sid"]),
                expires_at=float(claims["exp"]),
                issued_at=float(claims["iat"]),
            )
        except jwt.ExpiredSignatureError as error:
            raise MeshError(
                "the access token has ended", StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED"
            ) from error
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError) as error:
            raise MeshError(
                "the access token is not valid", StatusCode.UNAUTHENTICATED, "TOKEN_INVALID"
            ) from error

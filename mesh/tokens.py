"""Access tokens: signing in the account service, verification everywhere.

ES256 JWTs (RFC 7519, RFC 7518 section 3.4). The verifier follows RFC 8725: one algorithm, issuer,
audience and expiry required, keys only from the local set, never from the token.
"""

import json
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from mediq.policy.v1.policy_pb2 import Role, Scope

from mesh.context import Principal
from mesh.contracts import role_name, scope_name
from mesh.errors import Kind, MeshError
from mesh.tls import write_private

ISSUER = "mediq"
AUDIENCE = "mediq"
ALGORITHM = "ES256"
LEEWAY_SECONDS = 5
REREAD_SECONDS = 1.0
"""How often the key set file is looked at for a change."""
CACHED_TOKENS = 4096
_ROLES = {role_name(value): value for value in Role.values()}
_SCOPES = {scope_name(value): value for value in Scope.values()}


def ensure_signing_key(folder: Path) -> None:
    """Makes the signing key and the public key set, when they are missing."""
    key_file, jwks_file = folder / "jwt-signing.pem", folder / "jwks.json"
    if not key_file.exists():
        private = ec.generate_private_key(ec.SECP256R1())
        write_private(
            key_file,
            private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )
        jwks_file.unlink(missing_ok=True)
    if not jwks_file.exists():
        signer = TokenSigner(folder)
        write_private(jwks_file, json.dumps({"keys": [signer.public_jwk()]}).encode())


class TokenSigner:
    """Signs access tokens. Only the account service has one."""

    def __init__(self, folder: Path) -> None:
        """Reads the private key jwt-signing.pem.

        Raises:
            FileNotFoundError: The key does not exist.
            ValueError: The file is not an EC private key.
        """
        key = serialization.load_pem_private_key((folder / "jwt-signing.pem").read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{folder / 'jwt-signing.pem'} is not an EC private key")
        self._key = key
        point = key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
        )
        self.key_id = uuid.uuid5(uuid.NAMESPACE_OID, point.hex()).hex[:16]

    def public_jwk(self) -> dict[str, object]:
        """The public half as a JSON Web Key (RFC 7517)."""
        public = jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {**public, "kid": self.key_id, "use": "sig", "alg": ALGORITHM}

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
        """A token, and when it ends in seconds since the epoch."""
        now = int(time.time())
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
        headers = {"kid": self.key_id, "typ": "at+jwt"}
        return jwt.encode(claims, self._key, ALGORITHM, headers), now + lifetime_seconds


@dataclass
class _KeySet:
    modified: float
    looked: float
    keys: dict[str, jwt.PyJWK]


class TokenVerifier:
    """Verifies access tokens against the key set file, which may change at any time."""

    def __init__(self, jwks_file: Path) -> None:
        """Reads the key set.

        Raises:
            FileNotFoundError: The file does not exist.
        """
        self._file = jwks_file
        self._cache: dict[str, Principal] = {}
        self._set = self._load()

    def _load(self) -> _KeySet:
        modified = self._file.stat().st_mtime
        document = json.loads(self._file.read_bytes())
        keys = {entry["kid"]: jwt.PyJWK(entry, ALGORITHM) for entry in document["keys"]}
        return _KeySet(modified, time.monotonic(), keys)

    def _keys(self) -> dict[str, jwt.PyJWK]:
        now = time.monotonic()
        if now - self._set.looked > REREAD_SECONDS:
            self._set.looked = now
            if self._file.stat().st_mtime != self._set.modified:
                self._set = self._load()
                self._cache.clear()
        return self._set.keys

    def verify(self, token: str) -> Principal:
        """The principal of a valid token.

        Raises:
            MeshError: UNAUTHENTICATED with reason TOKEN_EXPIRED or TOKEN_INVALID.
        """
        keys = self._keys()
        known = self._cache.get(token)
        if known is not None and known.expires_at + LEEWAY_SECONDS > time.time():
            return known
        found = self._decode(token, keys)
        if len(self._cache) >= CACHED_TOKENS:
            self._cache.clear()
        self._cache[token] = found
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
            )
        except jwt.ExpiredSignatureError as error:
            raise MeshError(
                "the access token has ended", Kind.UNAUTHENTICATED, "TOKEN_EXPIRED"
            ) from error
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError) as error:
            raise MeshError(
                "the access token is not valid", Kind.UNAUTHENTICATED, "TOKEN_INVALID"
            ) from error

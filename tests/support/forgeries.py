"""Access tokens that nobody may accept."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mesh.identity.tokens import TokenSigner

Claims = dict[str, Any]


class Forger:
    """Makes tokens around the key of the mesh."""

    def __init__(self, keys: Path, subject: str) -> None:
        signer = TokenSigner(keys)
        self.pem = (keys / "jwt-signing.pem").read_bytes()
        self.headers: dict[str, Any] = {"kid": signer.key_id, "typ": "at+jwt"}
        now = int(time.time())
        self.claims: Claims = {
            "iss": "mediq",
            "aud": "mediq",
            "sub": subject,
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            "jti": uuid4().hex,
            "sid": str(uuid4()),
            "role": "OPERATOR",
        }

    def sign(
        self, changes: Mapping[str, Any] | None = None, without: str = "", **headers: Any
    ) -> str:
        claims = {**self.claims, **(changes or {})}
        claims.pop(without, None)
        return jwt.encode(claims, self.pem, "ES256", {**self.headers, **headers})

    def hmac_with_public_key(self) -> str:
        key = serialization.load_pem_private_key(self.pem, None)
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

        def part(data: bytes) -> str:
            return base64.urlsafe_b64encode(data).decode().rstrip("=")

        header = {**self.headers, "alg": "HS256"}
        signed = f"{part(json.dumps(header).encode())}.{part(json.dumps(self.claims).encode())}"
        return f"{signed}.{part(hmac.digest(public, signed.encode(), hashlib.sha256))}"

    def foreign(self, **headers: Any) -> str:
        key = ec.generate_private_key(ec.SECP256R1())
        jwk = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        return jwt.encode(self.claims, key, "ES256", {**self.headers, "jwk": jwk, **headers})

    def rsa(self) -> str:
        key = rsa.generate_private_key(65537, 2048)
        return jwt.encode(self.claims, key, "RS256", self.headers)

    def tampered(self) -> str:
        head, body, signature = self.sign().split(".")
        claims = json.loads(base64.urlsafe_b64decode(body + "=="))
        claims["role"] = "ADMIN_FASKES"
        forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        return f"{head}.{forged}.{signature}"


FORGERIES: dict[str, Callable[[Forger], str]] = {
    "alg none": lambda f: jwt.encode(f.claims, None, "none", f.headers),  # type: ignore[arg-type]
    "HMAC with the public key": Forger.hmac_with_public_key,
    "RSA": Forger.rsa,
    "foreign key under our identifier": Forger.foreign,
    "foreign key identifier": lambda f: f.foreign(kid="0123456789abcdef"),
    "keys from an address": lambda f: f.foreign(jku="https://evil.example/jwks.json"),
    "no key identifier": lambda f: jwt.encode(f.claims, f.pem, "ES256", {"typ": "at+jwt"}),
    "wrong audience": lambda f: f.sign({"aud": "other"}),
    "no audience": lambda f: f.sign(without="aud"),
    "wrong issuer": lambda f: f.sign({"iss": "other"}),
    "no issuer": lambda f: f.sign(without="iss"),
    "no subject": lambda f: f.sign(without="sub"),
    "no identifier": lambda f: f.sign(without="jti"),
    "no time of issue": lambda f: f.sign(without="iat"),
    "no start": lambda f: f.sign(without="nbf"),
    "no end": lambda f: f.sign(without="exp"),
    "no session": lambda f: f.sign(without="sid"),
    "not yet": lambda f: f.sign({"nbf": int(time.time()) + 60}),
    "unknown role": lambda f: f.sign({"role": "ROOT"}),
    "unknown scope": lambda f: f.sign({"scope": "ALL"}),
    "another type": lambda f: f.sign(typ="JWT"),
    "changed claims": Forger.tampered,
    "no signature": lambda f: f.sign().rpartition(".")[0] + ".",
    "not a token": lambda f: "e30.e30.e30",
}

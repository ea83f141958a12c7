"""Tokens and connections that must be refused, shown to a real service."""

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

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from mediq.policy.v1.policy_pb2 import Role, Scope
from mediq.user.v1 import auth_service_pb2 as logins
from mediq.user.v1 import user_service_pb2 as messages
from mediq.user.v1.auth_service_pb2_grpc import AuthServiceStub
from mediq.user.v1.user_pb2 import PatientIdentity
from mediq.user.v1.user_service_pb2_grpc import UserServiceStub

from mesh.contract.methods import SERVERS
from mesh.identity import tls
from mesh.identity.tokens import TokenSigner
from tests.support.mesh import problem
from tests.user_svc.conftest import NAME, PASSWORD, World, bearer, new_email, new_nik

Claims = dict[str, Any]
INVALID = ("UNAUTHENTICATED", "TOKEN_INVALID")


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


@pytest.mark.parametrize("name", FORGERIES)
async def test_forged_tokens(world: World, name: str) -> None:
    made = await world.create()
    forger = Forger(world.settings.keys, made.id)
    good = await world.users.GetProfile(
        messages.GetProfileRequest(), metadata=bearer(forger.sign())
    )
    assert good == made
    call = world.users.GetProfile(
        messages.GetProfileRequest(), metadata=bearer(FORGERIES[name](forger))
    )
    assert await problem(call) == INVALID


async def test_tokens_that_end(world: World) -> None:
    made = await world.create()
    old = world.mesh.token(Role.ROLE_OPERATOR, subject=made.id, lifetime_seconds=-60)
    call = world.users.GetProfile(messages.GetProfileRequest(), metadata=old)
    assert await problem(call) == ("UNAUTHENTICATED", "TOKEN_EXPIRED")


async def test_a_refresh_token_is_no_access_token_and_the_reverse(world: World) -> None:
    made = await world.create()
    pair = await world.login(made.email)
    call = world.users.GetProfile(messages.GetProfileRequest(), metadata=bearer(pair.refresh_token))
    assert await problem(call) == INVALID
    refresh = await problem(world.refresh(pair.access_token[:200]))
    assert refresh == ("UNAUTHENTICATED", "REFRESH_TOKEN_INVALID")


@pytest.mark.parametrize("metadata", [(), (("authorization", "Basic YTpi"),), bearer("")])
async def test_no_token(world: World, metadata: tuple[tuple[str, str], ...]) -> None:
    call = world.users.GetProfile(messages.GetProfileRequest(), metadata=metadata)
    assert await problem(call) in (("UNAUTHENTICATED", "TOKEN_MISSING"), INVALID)


async def test_only_listed_services_call(world: World) -> None:
    denied = ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED")
    ensure = messages.EnsurePatientRequest(
        request_id=str(uuid4()), identity=PatientIdentity(nik=new_nik(), nama=NAME)
    )
    narrow = logins.IssueNarrowSessionRequest(
        scope=Scope.SCOPE_REGISTRATION, subject_id=str(uuid4())
    )
    login = logins.LoginAdminRequest(email=new_email(), password=PASSWORD)
    for identity in (*SERVERS, "edge", "ops"):
        async with world.mesh.channel("user_svc", identity) as channel:
            if identity != "ocr_svc":
                assert await problem(UserServiceStub(channel).EnsurePatient(ensure)) == denied
                assert await problem(AuthServiceStub(channel).IssueNarrowSession(narrow)) == denied
            if identity != "edge":
                assert await problem(AuthServiceStub(channel).LoginAdmin(login)) == denied
                listing = UserServiceStub(channel).ListUsers(
                    messages.ListUsersRequest(), metadata=world.network_admin
                )
                assert await problem(listing) == denied
    assert world.sql("SELECT COUNT(*) FROM users") == [(0,)]


@pytest.mark.parametrize("certificate", ["none", "of another authority", "plain text"])
async def test_strangers_cannot_connect(world: World, tmp_path: Path, certificate: str) -> None:
    address = world.mesh.addresses["user_svc"]
    ca = (world.mesh.home / "tls" / "ca.crt").read_bytes()
    options = [("grpc.ssl_target_name_override", "user-svc")]
    if certificate == "plain text":
        channel = grpc.aio.insecure_channel(address)
    elif certificate == "none":
        channel = grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(ca), options)
    else:
        tls.ensure_identities(tmp_path, ["edge"])
        key, chain = ((tmp_path / f"edge.{end}").read_bytes() for end in ("key", "crt"))
        credentials = grpc.ssl_channel_credentials(ca, key, chain)
        channel = grpc.aio.secure_channel(address, credentials, options)
    async with channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await AuthServiceStub(channel).GetJwks(logins.GetJwksRequest(), timeout=3)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

import asyncio
import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

import grpc
import jwt
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from mediq.institution.v1 import institution_service_pb2 as requests
from mediq.institution.v1.institution_pb2 import Institution
from mediq.institution.v1.institution_service_pb2_grpc import (
    InstitutionServiceStub,
)
from mediq.policy.v1.policy_pb2 import Role, Scope

from mesh.clock import utc_now
from mesh.contract.call import current_call
from mesh.errors import MeshError, StatusCode
from mesh.identity.tokens import TokenSigner
from mesh.rpc.server import Server
from mesh.settings import ServiceSettings
from tests.mesh.asked import GET, ID
from tests.mesh.conftest import SERVICE, Probe, Running, never
from tests.support.deadlines import set_deadline
from tests.support.mesh import Mesh, partly, problem
from tests.support.waiting import PATIENCE_SECONDS

UPDATE = requests.UpdateInstitutionRequest(id=ID, name="RSUD")


async def test_call_passes(running: Running) -> None:
    assert (await running.stub.GetInstitution(GET)).name == "RSUD"


async def test_unlisted_peer_is_refused(running: Running, mesh: Mesh) -> None:
    async with mesh.channel("institution_svc", "ocr_engine") as channel:
        call = InstitutionServiceStub(channel).GetInstitution(GET)
        assert await problem(call) == ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED")
    assert running.probe.calls == 0


async def test_no_certificate_no_connection(running: Running, mesh: Mesh) -> None:
    ca = (mesh.home / "tls" / "ca.crt").read_bytes()
    address = mesh.addresses["institution_svc"]
    async with grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(ca)) as channel:
        code, _ = await problem(
            InstitutionServiceStub(channel).GetInstitution(GET, timeout=PATIENCE_SECONDS)
        )
    assert code == "UNAVAILABLE"
    async with grpc.aio.insecure_channel(address) as channel:
        code, _ = await problem(
            InstitutionServiceStub(channel).GetInstitution(GET, timeout=PATIENCE_SECONDS)
        )
    assert code == "UNAVAILABLE"


@pytest.mark.parametrize("role", [Role.ROLE_PASIEN, Role.ROLE_OPERATOR, Role.ROLE_UNSPECIFIED])
async def test_role_that_is_not_listed(running: Running, mesh: Mesh, role: Role.ValueType) -> None:
    metadata = mesh.token(role, institution_id=ID)
    call = running.stub.UpdateInstitution(UPDATE, metadata=metadata)
    assert await problem(call) == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")
    assert running.probe.calls == 0


async def test_scope_is_no_role(running: Running, mesh: Mesh) -> None:
    metadata = mesh.token(scope=Scope.SCOPE_TICKETS)
    call = running.stub.UpdateInstitution(UPDATE, metadata=metadata)
    assert await problem(call) == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")


async def test_admin_of_another_facility(running: Running, mesh: Mesh) -> None:
    other = mesh.token(Role.ROLE_ADMIN_FASKES, institution_id=str(uuid4()))
    call = running.stub.UpdateInstitution(UPDATE, metadata=other)
    assert await problem(call) == ("PERMISSION_DENIED", "OTHER_INSTITUTION")
    own = mesh.token(Role.ROLE_ADMIN_FASKES, institution_id=ID)
    await running.stub.UpdateInstitution(UPDATE, metadata=own)


async def test_identifiers_mean_the_same_in_either_case(running: Running, mesh: Mesh) -> None:
    request = requests.UpdateInstitutionRequest(id=ID.upper(), name="RSUD")
    own = mesh.token(Role.ROLE_ADMIN_FASKES, institution_id=ID)
    await running.stub.UpdateInstitution(request, metadata=own)
    assert running.probe.calls == 1


def _claims() -> dict[str, object]:
    now = int(time.time())
    return {
        "iss": "mediq",
        "aud": "mediq",
        "sub": ID,
        "iat": now,
        "nbf": now,
        "exp": now + 60,
        "jti": "1",
        "sid": "1",
        "role": "ADMIN_FASKES",
    }


def _hmac_signed(headers: dict[str, str], claims: dict[str, object], key: bytes) -> str:
    # PyJWT refuses to make this token; an attacker would not.
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in (headers, claims)
    ]
    signature = hmac.new(key, b".".join(parts), hashlib.sha256).digest()
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def _forged(home: Path, case: str) -> str:
    signer = TokenSigner(home / "keys")
    key = (home / "keys" / "jwt-signing.pem").read_text()
    public = (home / "keys" / "jwks.json").read_text()
    headers = {"kid": signer.key_id, "typ": "at+jwt"}
    claims = _claims()
    match case:
        case "alg none":
            return jwt.encode(claims, "", "none", headers)
        case "hs256 with the public key":
            return _hmac_signed({**headers, "alg": "HS256"}, claims, public.encode())
        case "foreign kid":
            return jwt.encode(claims, key, "ES256", {**headers, "kid": "other"})
        case "jku":
            jku = {**headers, "kid": "x", "jku": "https://evil.example/jwks"}
            return jwt.encode(claims, key, "ES256", jku)
        case "wrong audience":
            return jwt.encode({**claims, "aud": "other"}, key, "ES256", headers)
        case "wrong issuer":
            return jwt.encode({**claims, "iss": "other"}, key, "ES256", headers)
        case "no expiry":
            del claims["exp"]
            return jwt.encode(claims, key, "ES256", headers)
        case "not yet":
            return jwt.encode({**claims, "nbf": int(time.time()) + 600}, key, "ES256", headers)
        case "refresh type":
            return jwt.encode(claims, key, "ES256", {**headers, "typ": "rt+jwt"})
        case "unknown role":
            return jwt.encode({**claims, "role": "ROOT"}, key, "ES256", headers)
        case "no token":
            return "garbage"
    raise AssertionError(case)


@pytest.mark.parametrize(
    "case",
    [
        "alg none",
        "hs256 with the public key",
        "foreign kid",
        "jku",
        "wrong audience",
        "wrong issuer",
        "no expiry",
        "not yet",
        "refresh type",
        "unknown role",
        "no token",
    ],
)
async def test_forged_token(running: Running, mesh: Mesh, case: str) -> None:
    metadata = (("authorization", f"Bearer {_forged(mesh.home, case)}"),)
    call = running.stub.UpdateInstitution(UPDATE, metadata=metadata)
    assert await problem(call) == ("UNAUTHENTICATED", "TOKEN_INVALID")
    assert running.probe.calls == 0


async def test_expired_token(running: Running, mesh: Mesh) -> None:
    metadata = mesh.token(Role.ROLE_ADMIN_FASKES, lifetime_seconds=-60)
    call = running.stub.UpdateInstitution(UPDATE, metadata=metadata)
    assert await problem(call) == ("UNAUTHENTICATED", "TOKEN_EXPIRED")


async def test_missing_token_and_other_scheme(running: Running) -> None:
    for metadata in ((), (("authorization", "Basic abc"),)):
        call = running.stub.UpdateInstitution(UPDATE, metadata=metadata)
        assert await problem(call) == ("UNAUTHENTICATED", "TOKEN_MISSING")


async def test_violations_name_the_field_and_hide_the_value(running: Running) -> None:
    bad = requests.GetInstitutionRequest(id="3201010101010001")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await running.stub.GetInstitution(bad)
    status = rpc_status.from_call(caught.value)
    violations = error_details_pb2.BadRequest()
    assert status is not None
    assert status.details[1].Unpack(violations)
    assert [one.field for one in violations.field_violations] == ["id"]
    assert "3201010101010001" not in str(status)
    assert running.probe.calls == 0


async def test_own_error_keeps_reason_and_retry_time(running: Running) -> None:
    async def refuse() -> Institution:
        raise MeshError("busy", StatusCode.RESOURCE_EXHAUSTED, "BUSY", retry_after_seconds=2.5)

    running.probe.behaviour = refuse
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await running.stub.GetInstitution(GET)
    status = rpc_status.from_call(caught.value)
    assert status is not None
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    assert (info.reason, info.domain) == ("BUSY", "mediq")
    assert len(info.metadata["traceId"]) == 32
    assert retry.retry_delay.ToMilliseconds() == 2500


async def test_unexpected_error_tells_nothing(
    running: Running, capfd: pytest.CaptureFixture[str]
) -> None:
    async def crash() -> Institution:
        raise ValueError("secret 3201010101010001")

    running.probe.behaviour = crash
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await running.stub.GetInstitution(GET)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert caught.value.details() == "internal error"
    # Read here, because no test may leave a number like a NIK in what it has had logged.
    assert "ValueError" in capfd.readouterr().err


async def test_methods_deadline_is_the_ceiling(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller would wait for ever."""
    set_deadline(monkeypatch, 0.1)
    running.probe.behaviour = never
    code, reason = await problem(running.stub.GetInstitution(GET))
    assert (code, reason) == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")


async def test_shorter_deadline_of_the_caller_counts(running: Running) -> None:
    seen: list[float | None] = []

    async def observe() -> Institution:
        call = current_call()
        seen.append(call.remaining_seconds() if call else None)
        return Institution()

    running.probe.behaviour = observe
    await running.stub.GetInstitution(GET, timeout=PATIENCE_SECONDS / 2)
    assert seen[0] is not None
    assert 0 < seen[0] <= PATIENCE_SECONDS / 2


async def test_cancelled_call_ends_the_handler(running: Running) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def wait() -> Institution:
        began.set()
        try:
            return await never()
        finally:
            ended.set()

    running.probe.behaviour = wait
    call = running.stub.GetInstitution(GET)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await began.wait()
    call.cancel()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await ended.wait()


class _Blocking:
    """Written for threads, as the generated base is."""

    def GetInstitution(self, request: object, context: object) -> Institution:
        return Institution()


async def test_synchronous_servicer_is_refused(mesh: Mesh) -> None:
    class Settings(ServiceSettings):
        service: ClassVar[str] = "institution_svc"

    server = Server(Settings(home=mesh.home, port=0), utc_now)
    with pytest.raises(TypeError, match="not async"):
        server.add(partly(SERVICE), _Blocking())


async def test_rpc_without_a_policy_cannot_be_registered(mesh: Mesh) -> None:
    class Settings(ServiceSettings):
        service: ClassVar[str] = "institution_svc"

    def register(servicer: object, server: grpc.aio.Server) -> None:
        server.add_registered_method_handlers(
            "mediq.secret.v1.SecretService",
            {"Open": grpc.unary_unary_rpc_method_handler(Probe().GetInstitution)},
        )

    server = Server(Settings(home=mesh.home, port=0), utc_now)
    with pytest.raises(LookupError, match="no policy"):
        server.add(register, object())

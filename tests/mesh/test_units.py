import json
import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from mediq.policy.v1.policy_pb2 import Peer
from mediq.user.v1.auth_service_pb2 import LoginUserRequest
from mediq.user.v1.user_pb2 import PatientIdentity
from mediq.user.v1.user_service_pb2 import EnsurePatientRequest

from mesh import data_dir
from mesh.contract import pagination
from mesh.contract.redaction import redact, redact_text
from mesh.contract.status import to_status
from mesh.encryption.field_cipher import DecryptionError, FieldCipher
from mesh.errors import MeshError, StatusCode
from mesh.identity.tls import peer_of
from mesh.identity.tokens import TokenVerifier
from mesh.messaging.events import matches
from mesh.observability import logs
from mesh.settings import settings_of
from tests.support.waiting import PATIENCE_SECONDS


def cipher(key_id: str = "a") -> FieldCipher:
    return FieldCipher(key_id, {"a": b"1" * 32, "b": b"2" * 32}, b"3" * 32)


FREED_SERVER = """
import asyncio, gc, logging
import grpc
from mesh.observability import logs

async def make():
    grpc.aio.server()

kept = []
logs.configure("test", "DEBUG")
handler = logging.Handler()
handler.emit = kept.append
logging.getLogger().addHandler(handler)
for _ in range(5):
    asyncio.run(make())
    gc.collect()
    kept.clear()
"""


class TestCrypto:
    def test_roundtrip(self) -> None:
        encrypted = cipher().encrypt(b"3201", "users/1/nik")
        assert b"3201" not in encrypted
        assert cipher().decrypt(encrypted, "users/1/nik") == b"3201"

    def test_swapped_rows_do_not_decrypt(self) -> None:
        encrypted = cipher().encrypt(b"x", "users/1/nik")
        with pytest.raises(DecryptionError):
            cipher().decrypt(encrypted, "users/2/nik")

    def test_damage_is_found(self) -> None:
        encrypted = bytearray(cipher().encrypt(b"x", "r"))
        encrypted[-1] ^= 1
        with pytest.raises(DecryptionError):
            cipher().decrypt(bytes(encrypted), "r")

    def test_older_key_still_decrypts_and_an_unknown_one_is_an_error(self) -> None:
        assert cipher("b").decrypt(cipher("a").encrypt(b"x", "r"), "r") == b"x"
        with pytest.raises(DecryptionError, match="no key"):
            FieldCipher("b", {"b": b"2" * 32}, b"3" * 32).decrypt(cipher().encrypt(b"x", "r"), "r")

    def test_blind_index_is_keyed_and_separate(self) -> None:
        one = cipher()
        other = FieldCipher("a", {"a": b"1" * 32}, b"4" * 32)
        assert one.blind_index("1", "nik") == one.blind_index("1", "nik")
        assert one.blind_index("1", "nik") != one.blind_index("1", "email")
        assert one.blind_index("1", "nik") != other.blind_index("1", "nik")


class TestRedaction:
    def test_marked_fields_are_hidden(self) -> None:
        request = EnsurePatientRequest(
            request_id="r", identity=PatientIdentity(nik="3201010101010001", nama="BUDI")
        )
        assert redact(request) == {"request_id": "r", "identity": "[redacted]"}
        assert redact(LoginUserRequest(nik="1", name="x")) == {
            "nik": "[redacted]",
            "name": "[redacted]",
        }

    def test_long_numbers_and_tokens_are_hidden(self) -> None:
        assert redact_text("nik 3201010101010001 ok") == "nik [redacted] ok"
        assert redact_text("t eyJhbGciOi.eyJzdWIi.abc_-1") == "t [redacted]"
        assert redact_text("2026-11-23 12:00") == "2026-11-23 12:00"

    def test_logs_are_json_without_numbers(self, capsys: pytest.CaptureFixture[str]) -> None:
        root = logging.getLogger()
        before = root.handlers, root.level
        try:
            logs.configure("queue_svc", "INFO")
            logs.logger().info("looked up 3201010101010001", nik="3201010101010001")
            logging.getLogger("other").warning("number %s", "3201010101010001")
            nik = "3201010101010001"
            request = LoginUserRequest(nik=nik)
            for shown in ([nik], {"a": {nik}}, {nik: 1}, int(nik), request, (1, None, True, 2.5)):
                logs.logger().info("other kinds", shown=shown)
        finally:
            root.handlers, root.level = before
        lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        assert [line["level"] for line in lines] == ["info", "warning", *["info"] * 6]
        assert lines[-1]["shown"] == [1, None, True, 2.5]
        assert all(line["service"] == "queue_svc" for line in lines)
        assert "3201010101010001" not in json.dumps(lines)

    def test_a_talkative_process_survives_a_server_that_was_never_started(self) -> None:
        done = subprocess.run(
            [sys.executable, "-c", FREED_SERVER], check=False, timeout=PATIENCE_SECONDS
        )
        assert done.returncode == 0


class TestSettings:
    def test_passwords_in_addresses_are_not_shown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MEDIQ_REDIS_URL", "redis://:hidden@redis/0")
        monkeypatch.setenv("MEDIQ_USER_SVC_DATABASE_URL", "mysql+pymysql://a:hidden@db/users")
        settings = settings_of("user_svc")
        assert "hidden" in settings.database + settings.redis_url
        assert "hidden" not in repr(settings) + str(settings)


class TestStatus:
    def test_kinds_are_codes(self) -> None:
        for kind in StatusCode:
            assert to_status(MeshError("m", kind, "R")).code > 0

    def test_details(self) -> None:
        error = MeshError("m", StatusCode.NOT_FOUND, "R", resource=("ticket", "1"))
        assert [one.type_url.rsplit(".", 1)[-1] for one in to_status(error).details] == [
            "ErrorInfo",
            "ResourceInfo",
        ]


class TestEvents:
    @pytest.mark.parametrize(
        ("pattern", "topic", "fits"),
        [
            ("a.b.c", "a.b.c", True),
            ("a.*.c", "a.b.c", True),
            ("a.*", "a.b.c", False),
            ("a.#", "a.b.c", True),
            ("#", "a.b.c", True),
            ("#.c", "a.b.c", True),
            ("a.#.c", "a.c", True),
            ("a.b", "a.b.c", False),
        ],
    )
    def test_patterns(self, pattern: str, topic: str, fits: bool) -> None:
        assert matches(pattern, topic) is fits


class TestPages:
    def test_roundtrip(self) -> None:
        assert pagination.decode_token(pagination.encode_token("RSUD é", "1"), 2) == ("RSUD é", "1")
        assert pagination.decode_token("", 2) is None

    @pytest.mark.parametrize("token", ["###", "AAAA", "/w"])
    def test_bad_token(self, token: str) -> None:
        with pytest.raises(MeshError, match="PAGE_TOKEN_INVALID"):
            pagination.decode_token(token, 2)


class TestHome:
    def test_everything_is_private_and_stays(self, tmp_path: Path) -> None:
        folder = tmp_path / "home"
        folder.mkdir(mode=0o755)
        data_dir.prepare(folder)
        for path in folder.iterdir():
            if path.is_dir():
                assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
        files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for path in files:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        data_dir.prepare(folder)
        assert files == {path: path.read_bytes() for path in files}

    def test_half_written_folder_is_completed(self, tmp_path: Path) -> None:
        data_dir.prepare(tmp_path)
        (tmp_path / "tls" / "queue_svc.crt").unlink()
        (tmp_path / "keys" / "jwks.json").unlink()
        data_dir.prepare(tmp_path)
        ca = x509.load_pem_x509_certificate((tmp_path / "tls" / "ca.crt").read_bytes())
        leaf = x509.load_pem_x509_certificate((tmp_path / "tls" / "queue_svc.crt").read_bytes())
        leaf.verify_directly_issued_by(ca)
        TokenVerifier(tmp_path / "keys" / "jwks.json")

    def test_damaged_key_says_what_to_do(self, tmp_path: Path) -> None:
        data_dir.prepare(tmp_path)
        (tmp_path / "tls" / "ca.key").write_bytes(b"not a key")
        (tmp_path / "tls" / "edge.crt").unlink()
        with pytest.raises(SystemExit, match="damaged"):
            data_dir.prepare(tmp_path)

    def test_no_space(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(data_dir, "MIN_FREE_BYTES", 1 << 60)
        with pytest.raises(SystemExit, match="MEDIQ_HOME"):
            data_dir.prepare(tmp_path)

    def test_no_folder(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(SystemExit, match="MEDIQ_HOME"):
            data_dir.prepare(tmp_path / "file")


def test_peer_comes_from_the_spiffe_name_only() -> None:
    assert peer_of([b"localhost", b"spiffe://mediq/queue_svc"]) == Peer.PEER_QUEUE_SVC
    assert peer_of([b"queue-svc"]) == Peer.PEER_UNSPECIFIED
    assert peer_of([b"spiffe://other/queue_svc"]) == Peer.PEER_UNSPECIFIED
    assert peer_of(None) == Peer.PEER_UNSPECIFIED


def test_rotated_keys_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.identity.tokens.REREAD_SECONDS", 0.0)
    data_dir.prepare(tmp_path / "one")
    data_dir.prepare(tmp_path / "two")
    jwks = tmp_path / "one" / "keys" / "jwks.json"
    verifier = TokenVerifier(jwks)
    from mesh.identity.tokens import TokenSigner

    token, _ = TokenSigner(tmp_path / "two" / "keys").sign("x", lifetime_seconds=9, session_id="s")
    with pytest.raises(MeshError):
        verifier.verify(token)
    jwks.write_bytes((tmp_path / "two" / "keys" / "jwks.json").read_bytes())
    os.utime(jwks, (1, 1))
    assert verifier.verify(token).subject == "x"

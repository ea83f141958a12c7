"""Signing keys: rotation with overlap, an old folder, damaged files, the command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jwt
import pytest
from mediq.audit.v1.audit_pb2 import AuditAct
from typer.testing import CliRunner, Result

from mesh import data_dir
from mesh.contract.validation import validate
from mesh.encryption import data_keys
from mesh.errors import MeshError
from mesh.identity import signing_keys
from mesh.identity.key_set import (
    LONGEST_TOKEN_SECONDS,
    KeyFolderError,
    State,
    read_key_set,
    read_private_keys,
)
from mesh.identity.tokens import TokenSigner, TokenVerifier
from ops.cli import application
from ops.cli.keys import app
from tests.mesh.key_clock import Clock
from tests.support.commands import CommandTrail
from tests.support.waiting import eventually_now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    signing_keys.ensure_signing_key(tmp_path)
    return tmp_path


def key_set(folder: Path) -> Path:
    return folder / "jwks.json"


def sign(signer: TokenSigner, seconds: int = 600) -> str:
    return signer.sign("x", lifetime_seconds=seconds, session_id="s")[0]


def kid(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def known(folder: Path) -> list[str]:
    return [key.key_id for key in read_key_set(key_set(folder))]


def private(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.pem"))


class TestRotation:
    def test_the_new_key_verifies_at_once_and_signs_later(self, folder: Path, clock: Clock) -> None:
        signer, verifier = TokenSigner(folder), TokenVerifier(key_set(folder))
        before = sign(signer)
        added = signing_keys.rotate(folder, 60)
        assert known(folder) == [kid(before), added.key_id]
        assert kid(sign(signer)) == kid(before)
        clock.pass_(62)
        after = sign(signer)
        assert kid(after) == signer.key_id == added.key_id
        for token in (before, after):
            assert verifier.verify(token).subject == "x"

    def test_the_old_key_verifies_for_the_longest_life_and_not_after(
        self, folder: Path, clock: Clock
    ) -> None:
        signer, verifier = TokenSigner(folder), TokenVerifier(key_set(folder))
        added = signing_keys.rotate(folder, 60)
        clock.pass_(59)
        last = sign(signer, LONGEST_TOKEN_SECONDS)
        assert kid(last) != added.key_id
        clock.pass_(LONGEST_TOKEN_SECONDS - 10)
        assert signing_keys.prune(folder) == []
        assert verifier.verify(last).subject == "x"
        clock.pass_(80)
        assert signing_keys.prune(folder) == [kid(last)]
        assert known(folder) == [added.key_id]
        assert private(folder) == [f"jwt-signing-{added.key_id}.pem"]
        # Even at a time when the token would still be good.
        clock.pass_(-LONGEST_TOKEN_SECONDS)
        with pytest.raises(MeshError, match="TOKEN_INVALID"):
            verifier.verify(last)

    def test_a_stolen_key_verifies_no_more(self, folder: Path, clock: Clock) -> None:
        signer, verifier = TokenSigner(folder), TokenVerifier(key_set(folder))
        stolen, token = signer.key_id, sign(signer)
        verifier.verify(token)
        signing = signing_keys.revoke(folder, stolen)
        assert signing.key_id != stolen
        with pytest.raises(MeshError, match="not valid"):
            verifier.verify(token)
        assert signer.key_id == signing.key_id
        verifier.verify(sign(signer))
        assert stolen not in read_private_keys(folder)

    def test_a_stolen_key_that_only_verifies_leaves_the_others(
        self, folder: Path, clock: Clock
    ) -> None:
        signer, verifier = TokenSigner(folder), TokenVerifier(key_set(folder))
        stolen, old = signer.key_id, sign(signer)
        added = signing_keys.rotate(folder, 0)
        clock.pass_(1)
        new = sign(signer)
        assert signing_keys.revoke(folder, stolen).key_id == added.key_id
        verifier.verify(new)
        with pytest.raises(MeshError, match="not valid"):
            verifier.verify(old)
        assert len(read_key_set(key_set(folder))) == 1

    def test_a_key_that_does_not_sign_yet_is_no_help(self, folder: Path, clock: Clock) -> None:
        stolen = TokenSigner(folder).key_id
        announced = signing_keys.rotate(folder, 60)
        signing = signing_keys.revoke(folder, stolen)
        assert signing.key_id not in (stolen, announced.key_id)
        clock.pass_(61)
        assert TokenSigner(folder).key_id == announced.key_id

    def test_revoking_what_is_not_there(self, folder: Path) -> None:
        before = key_set(folder).read_bytes()
        with pytest.raises(LookupError, match="there is no key ff"):
            signing_keys.revoke(folder, "ff")
        assert key_set(folder).read_bytes() == before

    def test_the_next_rotation_prunes(self, folder: Path, clock: Clock) -> None:
        (first,) = known(folder)
        second = signing_keys.rotate(folder).key_id
        clock.pass_(LONGEST_TOKEN_SECONDS + 200)
        third = signing_keys.rotate(folder).key_id
        assert known(folder) == [second, third]
        assert first not in known(folder)

    def test_twice_quickly(self, folder: Path, clock: Clock) -> None:
        signer, verifier = TokenSigner(folder), TokenVerifier(key_set(folder))
        tokens = [sign(signer)]
        added = [signing_keys.rotate(folder, 60), signing_keys.rotate(folder, 30)]
        # The one that came last takes over last.
        assert added[1].signs_from >= added[0].signs_from
        assert len(known(folder)) == 3
        clock.pass_(62)
        tokens.append(sign(signer))
        assert kid(tokens[1]) == added[1].key_id
        for token in tokens:
            assert verifier.verify(token).subject == "x"
        clock.pass_(LONGEST_TOKEN_SECONDS + 100)
        assert len(signing_keys.prune(folder)) == 2
        assert known(folder) == [added[1].key_id]

    def test_a_key_that_is_announced_is_never_pruned(self, folder: Path, clock: Clock) -> None:
        signing_keys.rotate(folder, LONGEST_TOKEN_SECONDS * 3)
        clock.pass_(LONGEST_TOKEN_SECONDS * 2)
        assert signing_keys.prune(folder) == []

    def test_a_process_that_verifies_follows(self, folder: Path) -> None:
        """Another process, with the real clock: it knows the key long before it signs."""
        program = (
            "import sys\nfrom pathlib import Path\nfrom mesh.identity.tokens import TokenVerifier\n"
            "verifier = TokenVerifier(Path(sys.argv[1]))\nprint('ready', flush=True)\n"
            "for line in sys.stdin:\n"
            "    try:\n        print(verifier.verify(line.strip()).subject, flush=True)\n"
            "    except Exception as error:\n        print(error, flush=True)\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", program, str(key_set(folder))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            stdin, stdout = process.stdin, process.stdout
            signing_keys.rotate(folder, 0)
            eventually_now(lambda: TokenSigner(folder).key_id == known(folder)[1])

            def verified() -> bool:
                stdin.write(sign(TokenSigner(folder)) + "\n")
                stdin.flush()
                return stdout.readline() == "x\n"

            # It polls the file once a second.
            eventually_now(verified)
            stdin.close()

    def test_a_crash_before_the_announcement_leaves_no_trace(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = known(folder)

        def crash(*_: object) -> None:
            raise OSError("no space")

        with monkeypatch.context() as patch:
            patch.setattr("mesh.identity.signing_keys._write_key_set", crash)
            with pytest.raises(OSError, match="no space"):
                signing_keys.rotate(folder)
        assert known(folder) == before
        assert len(private(folder)) == 2
        assert kid(sign(TokenSigner(folder))) == before[0]
        signing_keys.prune(folder)
        assert private(folder) == ["jwt-signing.pem"]

    def test_a_clock_that_was_set_back_signs_with_the_oldest_key(
        self, folder: Path, clock: Clock
    ) -> None:
        (first,) = known(folder)
        signing_keys.rotate(folder)
        clock.pass_(-1_000_000)
        assert TokenSigner(folder).key_id == first

    def test_no_token_outlives_its_key(self, folder: Path) -> None:
        with pytest.raises(ValueError, match="at most"):
            sign(TokenSigner(folder), LONGEST_TOKEN_SECONDS + 1)


class TestFolder:
    def test_an_old_folder_is_the_first_key(self, folder: Path, clock: Clock) -> None:
        """Before rotation, entries did not say when they sign."""
        document = json.loads(key_set(folder).read_bytes())
        for entry in document["keys"]:
            del entry["mediq_signs_from"]
        key_set(folder).write_text(json.dumps(document))
        signer, verifier = TokenSigner(folder), TokenVerifier(key_set(folder))
        old = sign(signer)
        signing_keys.ensure_signing_key(folder)
        added = signing_keys.rotate(folder)
        clock.pass_(62)
        assert kid(sign(signer)) == added.key_id
        assert verifier.verify(old).subject == "x"

    def test_a_lost_key_set_is_made_from_the_private_keys(self, folder: Path, clock: Clock) -> None:
        added = signing_keys.rotate(folder, 0)
        clock.pass_(2)
        os.utime(folder / "jwt-signing.pem", (1, 1))
        before = known(folder)
        key_set(folder).unlink()
        signing_keys.ensure_signing_key(folder)
        assert known(folder) == before
        assert TokenSigner(folder).key_id == added.key_id

    def test_lost_private_keys_begin_again(self, folder: Path) -> None:
        before = known(folder)
        (folder / "jwt-signing.pem").unlink()
        signing_keys.ensure_signing_key(folder)
        assert known(folder) != before
        TokenVerifier(key_set(folder)).verify(sign(TokenSigner(folder)))

    @pytest.mark.parametrize(
        "content", ["", "{", "[]", '{"keys": 1}', '{"keys": []}', '{"keys": [{"kid": "a"}]}']
    )
    def test_a_damaged_key_set_is_named(self, folder: Path, content: str) -> None:
        key_set(folder).write_text(content)
        for read in (
            TokenVerifier,
            lambda file: TokenSigner(file.parent),
            read_key_set,
        ):
            with pytest.raises(KeyFolderError, match=r"jwks\.json"):
                read(key_set(folder))
        with pytest.raises(KeyFolderError, match=r"jwks\.json"):
            signing_keys.rotate(folder)

    @pytest.mark.parametrize("content", ["", "not a key"])
    def test_a_damaged_private_key_is_named(self, folder: Path, content: str) -> None:
        (folder / "jwt-signing.pem").write_text(content)
        with pytest.raises(KeyFolderError, match=r"jwt-signing\.pem"):
            TokenSigner(folder)
        with pytest.raises(KeyFolderError, match=r"jwt-signing\.pem"):
            signing_keys.rotate(folder)

    def test_a_key_of_another_kind_is_named(self, folder: Path) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        other = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        (folder / "jwt-signing.pem").write_bytes(other)
        with pytest.raises(KeyFolderError, match="not an EC private key"):
            TokenSigner(folder)

    def test_a_missing_private_half_is_named(self, folder: Path) -> None:
        added = signing_keys.rotate(folder)
        (folder / f"jwt-signing-{added.key_id}.pem").unlink()
        with pytest.raises(KeyFolderError, match=f"lacks the private key of {added.key_id}"):
            TokenSigner(folder)

    def test_a_damaged_folder_says_what_to_do_at_start(self, tmp_path: Path) -> None:
        data_dir.prepare(tmp_path)
        key_set(tmp_path / "keys").unlink()
        (tmp_path / "keys" / "jwt-signing.pem").write_text("not a key")
        with pytest.raises(SystemExit, match="damaged"):
            data_dir.prepare(tmp_path)

    @pytest.mark.parametrize("damage", ["unlink", "write"])
    def test_damage_while_serving_changes_nothing(
        self, folder: Path, clock: Clock, damage: str
    ) -> None:
        signer, verifier = TokenSigner(folder), TokenVerifier(key_set(folder))
        content = key_set(folder).read_bytes()
        if damage == "unlink":
            key_set(folder).unlink()
        else:
            key_set(folder).write_text("{")
        for _ in range(2):
            assert verifier.verify(sign(signer)).subject == "x"
        key_set(folder).write_bytes(content)
        added = signing_keys.rotate(folder, 0)
        clock.pass_(2)
        assert kid(sign(signer)) == added.key_id
        assert verifier.verify(sign(signer)).subject == "x"


class TestCommand:
    @pytest.fixture(autouse=True)
    def _folder(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MEDIQ_KEYS_FOLDER", str(folder))

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments))

    def test_rotate_list_prune(
        self, folder: Path, clock: Clock, command_trail: CommandTrail
    ) -> None:
        (first,) = known(folder)
        assert f"{first}  {State.SIGNING}" in self.run("list").output
        done = self.run("rotate")
        assert done.exit_code == 0
        second = known(folder)[1]
        assert done.output.startswith(f"{second} verifies now and signs from ")
        assert self.run("prune").output == "nothing to remove\n"
        lines = self.run("list").output.splitlines()
        assert lines[0].startswith(f"{first}  {State.SIGNING}")
        assert "can be removed from" in lines[0]
        assert lines[1].startswith(f"{second}  {State.ANNOUNCED}")
        clock.pass_(62)
        lines = self.run("list").output.splitlines()
        assert lines[0].startswith(f"{first}  {State.VERIFYING}")
        assert lines[1].startswith(f"{second}  {State.SIGNING}")
        clock.pass_(LONGEST_TOKEN_SECONDS + 60)
        assert f"{first}  {State.REMOVABLE}" in self.run("list").output
        done = self.run("prune")
        assert (done.exit_code, done.output) == (0, f"{first} removed\n")
        assert command_trail.commands() == [f"keys rotate {second}", f"keys prune {first}"]
        (rotated, _) = command_trail.events()
        validate(rotated)
        assert rotated.service == "user_svc"
        assert rotated.act == AuditAct.AUDIT_ACT_CHANGE
        assert rotated.actor.peer == "command"
        assert rotated.actor.login

    @pytest.mark.usefixtures("command_trail")
    def test_rotate_at_once(self, folder: Path, clock: Clock) -> None:
        assert self.run("rotate", "--after", "0").exit_code == 0
        clock.pass_(2)
        assert TokenSigner(folder).key_id == known(folder)[1]
        assert self.run("rotate", "--after", "-1").exit_code == 2

    def test_revoke(self, folder: Path, command_trail: CommandTrail) -> None:
        (stolen,) = known(folder)
        done = self.run("revoke", stolen)
        assert done.exit_code == 0, done.output
        assert f"{stolen} verifies no more" in done.output
        assert stolen not in known(folder)
        again = self.run("revoke", stolen)
        assert again.exit_code == 1
        assert "mediq keys list" in str(again.exception or again.output)
        assert command_trail.commands() == [f"keys revoke {stolen}"]

    def test_a_stolen_key_is_revoked_though_no_database_answers(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MEDIQ_USER_SVC_DATABASE_URL", f"sqlite:///{folder / 'no' / 'a.db'}")
        data_keys.ensure_data_key(folder, "user_svc")
        (stolen,) = known(folder)
        done = self.run("revoke", stolen)
        assert done.exit_code == 1
        assert f"{stolen} verifies no more" in done.output
        assert "done, but user_svc's database does not take `keys revoke" in done.output
        assert "check MEDIQ_USER_SVC_DATABASE_URL" in done.output
        assert stolen not in known(folder)

    @pytest.mark.parametrize("command", ["rotate", "prune", "list"])
    def test_errors_say_what_is_wrong(
        self, folder: Path, command: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key_set(folder).write_text("{")
        assert "jwks.json is damaged" in str(self.run(command).exception)
        key_set(folder).unlink()
        assert "does not exist: start the mesh first" in str(self.run(command).exception)
        monkeypatch.setenv("MEDIQ_KEYS_FOLDER", str(folder / "none"))
        found = self.run(command)
        assert found.exit_code == 1
        assert "does not exist: start the mesh first" in str(found.exception)

    def test_a_folder_that_cannot_be_written(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError(13, "Permission denied", str(folder))

        monkeypatch.setattr("mesh.identity.signing_keys.write_private", refuse)
        assert "Permission denied" in str(self.run("rotate").exception)

    def test_it_is_registered(self) -> None:
        done = CliRunner().invoke(application("keys"), ["keys", "list"])
        assert done.exit_code == 0

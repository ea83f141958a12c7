"""Data keys: the file, the two phases of a rotation, ciphers that follow."""

import base64
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mesh.encryption import data_keys
from mesh.encryption.data_keys import QUIET_SECONDS, State
from mesh.encryption.field_cipher import DecryptionError, FieldCipher
from mesh.identity.key_set import KeyFolderError
from tests.mesh.key_clock import Clock
from tests.support.encrypted import await_turn
from tests.support.waiting import PATIENCE_SECONDS

SERVICE = "user_svc"
PLACE = "users/1/nik"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data_keys.ensure_data_key(tmp_path, SERVICE)
    return tmp_path


def file(folder: Path) -> Path:
    return data_keys.file_of(folder, SERVICE)


def known(folder: Path) -> list[str]:
    return [key.key_id for key in data_keys.read_data_keys(file(folder)).keys]


def states(folder: Path) -> list[State]:
    return [one.state for one in data_keys.read_data_keys(file(folder)).listed(time.time())]


def key_id(encrypted: bytes) -> str:
    return encrypted.partition(b":")[0].decode()


class TestRotation:
    def test_the_new_key_decrypts_at_once_and_encrypts_later(
        self, folder: Path, clock: Clock
    ) -> None:
        one, other = FieldCipher.load(folder, SERVICE), FieldCipher.load(folder, SERVICE)
        before = one.encrypt(b"3201", PLACE)
        index = one.blind_index("3201", "nik")
        added = data_keys.rotate(folder, SERVICE, 60)
        assert known(folder) == [key_id(before), added.key_id]
        assert states(folder) == [State.ENCRYPTING, State.ANNOUNCED]
        assert key_id(one.encrypt(b"x", PLACE)) == key_id(before)
        assert added.key_id in [key.key_id for key in other.keys().keys]
        clock.pass_(62)
        after = one.encrypt(b"3201", PLACE)
        assert key_id(after) == added.key_id
        for cipher in (one, other):
            assert cipher.decrypt(before, PLACE) == cipher.decrypt(after, PLACE) == b"3201"
            assert cipher.blind_index("3201", "nik") == index

    def test_states_by_time(self, folder: Path, clock: Clock) -> None:
        data_keys.rotate(folder, SERVICE, 60)
        clock.pass_(62)
        assert states(folder) == [State.LEAVING, State.ENCRYPTING]
        clock.pass_(QUIET_SECONDS)
        assert states(folder) == [State.DECRYPTING, State.ENCRYPTING]

    def test_twice_quickly(self, folder: Path, clock: Clock) -> None:
        cipher = FieldCipher.load(folder, SERVICE)
        first = data_keys.rotate(folder, SERVICE, 60)
        second = data_keys.rotate(folder, SERVICE, 30)
        # The one that came last takes over last.
        assert second.encrypts_from >= first.encrypts_from
        assert known(folder)[1:] == [first.key_id, second.key_id]
        clock.pass_(62)
        assert key_id(cipher.encrypt(b"x", PLACE)) == second.key_id

    def test_a_clock_that_was_set_back_encrypts_with_the_oldest_key(
        self, folder: Path, clock: Clock
    ) -> None:
        (first,) = known(folder)
        data_keys.rotate(folder, SERVICE, 0)
        data_keys.rotate(folder, SERVICE, 0)
        clock.pass_(2)
        assert known(folder)[0] == first
        clock.pass_(QUIET_SECONDS)
        assert data_keys.remove(folder, SERVICE, [first]) == [first]
        clock.pass_(-1_000_000)
        cipher = FieldCipher.load(folder, SERVICE)
        assert key_id(cipher.encrypt(b"x", PLACE)) == known(folder)[0]

    def test_an_unknown_key_is_looked_for_at_once(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The file is not due yet: only the unknown identifier makes it poll."""
        monkeypatch.setattr("mesh.encryption.field_cipher.REREAD_SECONDS", 3600.0)
        slow = FieldCipher.load(folder, SERVICE)
        added = await_turn(data_keys.rotate(folder, SERVICE, 0))
        encrypted = FieldCipher.load(folder, SERVICE).encrypt(b"x", PLACE)
        assert key_id(encrypted) == added.key_id
        assert slow.decrypt(encrypted, PLACE) == b"x"

    def test_another_process_follows(self, folder: Path) -> None:
        """With the real clock: two processes, one of which writes what the other reads."""
        program = (
            "import sys\nfrom pathlib import Path\n"
            "from mesh.encryption.field_cipher import FieldCipher\n"
            f"cipher = FieldCipher.load(Path(sys.argv[1]), {SERVICE!r})\n"
            "print('ready', flush=True)\n"
            "for line in sys.stdin:\n"
            f"    plain = cipher.decrypt(bytes.fromhex(line), {PLACE!r})\n"
            f"    print(cipher.encrypt(plain, {PLACE!r}).hex(), flush=True)\n"
        )
        here = FieldCipher.load(folder, SERVICE)
        with subprocess.Popen(
            [sys.executable, "-c", program, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            added = data_keys.rotate(folder, SERVICE, 1)
            seen: set[tuple[str, str]] = set()
            end = time.monotonic() + PATIENCE_SECONDS
            while (added.key_id, added.key_id) not in seen:
                assert time.monotonic() < end, seen
                sent = here.encrypt(b"3201", PLACE)
                process.stdin.write(sent.hex() + "\n")
                process.stdin.flush()
                back = bytes.fromhex(process.stdout.readline())
                assert here.decrypt(back, PLACE) == b"3201"
                seen.add((key_id(sent), key_id(back)))
            process.stdin.close()
        assert len(seen) > 1

    def test_threads_that_encrypt_while_keys_come(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mesh.encryption.field_cipher.REREAD_SECONDS", 0.0)
        cipher = FieldCipher.load(folder, SERVICE)
        stop, failed = threading.Event(), []

        def work() -> None:
            while not stop.is_set():
                try:
                    assert cipher.decrypt(cipher.encrypt(b"x", PLACE), PLACE) == b"x"
                except Exception as error:
                    failed.append(error)
                    return

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            added = data_keys.rotate(folder, SERVICE, 0)
        await_turn(added)
        newest = key_id(cipher.encrypt(b"x", PLACE))
        stop.set()
        for thread in threads:
            thread.join()
        assert failed == []
        assert newest == known(folder)[-1]

    def test_two_commands_at_once_lose_no_key(self, folder: Path) -> None:
        threads = [
            threading.Thread(target=data_keys.rotate, args=(folder, SERVICE)) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(known(folder)) == 9

    def test_a_crash_while_writing_leaves_the_file_as_it_was(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = file(folder).read_bytes()

        def crash(*_: object) -> None:
            raise OSError("no space")

        monkeypatch.setattr("os.fsync", crash)
        with pytest.raises(OSError, match="no space"):
            data_keys.rotate(folder, SERVICE)
        assert file(folder).read_bytes() == before


class TestRemoval:
    def test_only_a_key_that_nobody_encrypts_with(self, folder: Path, clock: Clock) -> None:
        (first,) = known(folder)
        second = data_keys.rotate(folder, SERVICE, 60).key_id
        everything = [first, second]
        assert data_keys.remove(folder, SERVICE, everything) == []
        clock.pass_(62)
        assert data_keys.remove(folder, SERVICE, everything) == []
        clock.pass_(QUIET_SECONDS - 5)
        assert data_keys.remove(folder, SERVICE, everything) == []
        clock.pass_(5)
        assert data_keys.remove(folder, SERVICE, everything) == [first]
        assert known(folder) == [second]
        assert FieldCipher.load(folder, SERVICE).keys().encrypting(time.time()).key_id == second

    def test_a_key_that_was_not_named_stays(self, folder: Path, clock: Clock) -> None:
        data_keys.rotate(folder, SERVICE, 0)
        clock.pass_(QUIET_SECONDS + 2)
        before = file(folder).read_bytes()
        assert data_keys.remove(folder, SERVICE, ["other"]) == []
        assert file(folder).read_bytes() == before

    def test_what_a_removed_key_has_encrypted_is_lost(self, folder: Path, clock: Clock) -> None:
        cipher = FieldCipher.load(folder, SERVICE)
        encrypted = cipher.encrypt(b"x", PLACE)
        data_keys.rotate(folder, SERVICE, 0)
        clock.pass_(QUIET_SECONDS + 2)
        data_keys.remove(folder, SERVICE, [key_id(encrypted)])
        with pytest.raises(DecryptionError, match=f"no key for {PLACE}"):
            cipher.decrypt(encrypted, PLACE)


class TestFile:
    @pytest.fixture
    def old(self, tmp_path: Path) -> Path:
        """A file from before rotation, in which somebody had added a key by hand."""
        secrets = {"aaaa": b"a" * 32, "cccc": b"c" * 32, "bbbb": b"b" * 32}
        document = {
            "current": "cccc",
            "keys": {one: base64.b64encode(secret).decode() for one, secret in secrets.items()},
            "index": base64.b64encode(b"i" * 32).decode(),
        }
        file(tmp_path).write_text(json.dumps(document))
        return tmp_path

    def test_an_old_file_goes_on_as_it_is(self, old: Path, clock: Clock) -> None:
        cipher = FieldCipher.load(old, SERVICE)
        index = FieldCipher("a", {"a": b"k" * 32}, b"i" * 32).blind_index("1", "nik")
        encrypted = cipher.encrypt(b"x", PLACE)
        assert key_id(encrypted) == "cccc"
        assert states(old).count(State.DECRYPTING) == 2
        added = data_keys.rotate(old, SERVICE, 60)
        assert key_id(cipher.encrypt(b"x", PLACE)) == "cccc"
        clock.pass_(62)
        assert key_id(cipher.encrypt(b"x", PLACE)) == added.key_id
        assert cipher.decrypt(encrypted, PLACE) == b"x"
        assert cipher.blind_index("1", "nik") == index

    def test_a_release_before_rotation_can_read_the_file(self, folder: Path, clock: Clock) -> None:
        """It takes `current` and `keys` and does not look further."""
        data_keys.rotate(folder, SERVICE, 60)
        for _ in range(2):
            data_keys.rotate(folder, SERVICE, 60)
            document = json.loads(file(folder).read_bytes())
            current = data_keys.read_data_keys(file(folder)).encrypting(time.time())
            assert document["current"] == current.key_id
            assert base64.b64decode(document["keys"][document["current"]]) == current.secret
            clock.pass_(62)

    def test_it_is_private(self, folder: Path) -> None:
        data_keys.rotate(folder, SERVICE)
        assert file(folder).stat().st_mode & 0o777 == 0o600

    def test_it_is_made_once(self, folder: Path) -> None:
        before = file(folder).read_bytes()
        data_keys.ensure_data_key(folder, SERVICE)
        assert file(folder).read_bytes() == before

    @pytest.mark.parametrize(
        "change",
        [
            {"current": "other"},
            {"current": ["a"]},
            {"keys": {}},
            {"keys": []},
            {"keys": {"a": "bm90IDMyIGJ5dGVz"}},
            {"keys": {"a": "not base 64"}},
            {"keys": {"a": 1}},
            {"keys": {"a:b": base64.b64encode(bytes(32)).decode()}, "current": "a:b"},
            {"keys": {"": base64.b64encode(bytes(32)).decode()}, "current": ""},
            {"index": "bm90IDMyIGJ5dGVz"},
            {"index": None},
            {"encrypts_from": {"other": 1}},
            {"encrypts_from": {"a": "soon"}},
            {"encrypts_from": {"a": float("inf")}},
            {"encrypts_from": {"a": float("nan")}},
            {"encrypts_from": []},
        ],
    )
    def test_a_damaged_file_is_named(self, folder: Path, change: dict[str, object]) -> None:
        secret = base64.b64encode(b"s" * 32).decode()
        whole = {"current": "a", "keys": {"a": secret}, "index": secret}
        file(folder).write_text(json.dumps(whole))
        FieldCipher.load(folder, SERVICE)
        file(folder).write_text(json.dumps(whole | change))
        for attempt in (FieldCipher.load, data_keys.rotate):
            with pytest.raises(
                KeyFolderError, match=r"user_svc\.data-key\.json is damaged"
            ) as seen:
                attempt(folder, SERVICE)
            assert secret not in str(seen.value)
        with pytest.raises(KeyFolderError):
            data_keys.remove(folder, SERVICE, ["a"])

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe\xfa", b"{}"])
    def test_what_is_no_document_is_named(self, folder: Path, content: bytes) -> None:
        file(folder).write_bytes(content)
        with pytest.raises(KeyFolderError, match=r"user_svc\.data-key\.json is damaged"):
            FieldCipher.load(folder, SERVICE)

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            FieldCipher.load(tmp_path, SERVICE)
        with pytest.raises(FileNotFoundError):
            data_keys.rotate(tmp_path, SERVICE)

    def test_a_service_does_not_start_with_a_damaged_file(self, home_copy: Path) -> None:
        file(home_copy / "keys").write_text("{")
        done = subprocess.run(
            [sys.executable, "-m", SERVICE],
            env={**os.environ, "MEDIQ_HOME": str(home_copy), "MEDIQ_USER_SVC_PORT": "0"},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == 1
        assert "cannot start" in done.stderr
        assert "user_svc.data-key.json is damaged" in done.stderr

    @pytest.mark.parametrize("damage", ["unlink", "write"])
    def test_damage_while_serving_changes_nothing(
        self, folder: Path, clock: Clock, damage: str
    ) -> None:
        cipher = FieldCipher.load(folder, SERVICE)
        encrypted, content = cipher.encrypt(b"x", PLACE), file(folder).read_bytes()
        if damage == "unlink":
            file(folder).unlink()
        else:
            file(folder).write_text("{")
        for _ in range(2):
            assert cipher.decrypt(cipher.encrypt(b"x", PLACE), PLACE) == b"x"
        file(folder).write_bytes(content)
        added = data_keys.rotate(folder, SERVICE, 0)
        clock.pass_(2)
        assert key_id(cipher.encrypt(b"x", PLACE)) == added.key_id
        assert cipher.decrypt(encrypted, PLACE) == b"x"


class TestCipher:
    @pytest.mark.parametrize(
        "encrypted", [b"", b"a", b"a:", b"a:short", b"a:" + bytes(20), b"\xff:"]
    )
    def test_what_is_no_ciphertext_is_an_error(self, encrypted: bytes) -> None:
        cipher = FieldCipher("a", {"a": b"1" * 32}, b"2" * 32)
        with pytest.raises(DecryptionError, match=PLACE):
            cipher.decrypt(encrypted, PLACE)

    def test_keys_are_not_shown(self, folder: Path) -> None:
        cipher = FieldCipher.load(folder, SERVICE)
        secret = cipher.keys().keys[0].secret
        assert repr(secret) not in repr(cipher.keys())
        assert repr(cipher.keys().index_key) not in repr(cipher.keys())

    def test_a_current_key_that_is_missing(self) -> None:
        with pytest.raises(ValueError, match="no key b"):
            FieldCipher("b", {"a": b"1" * 32}, b"2" * 32)

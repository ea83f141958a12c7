"""The rules of one-time codes, against the RFC's own values, and their repository."""

from __future__ import annotations

import asyncio
import base64
import datetime
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from mesh.encryption.field_cipher import DecryptionError, FieldCipher
from mesh.errors import MeshError
from mesh.persistence.database import Database
from user_svc.domain import totp
from user_svc.domain.accounts import Person, Role
from user_svc.persistence.account_cipher import AccountCipher
from user_svc.persistence.account_repository import AccountRepository
from user_svc.persistence.logins.second_factor_repository import SecondFactorRepository

Result = TypeVar("Result")
RFC_SECRET = base64.b32encode(b"12345678901234567890").decode()
"""The seed for SHA-1 in RFC 6238 appendix B."""
RFC_CODES = {
    59: "287082",
    1111111109: "081804",
    1111111111: "050471",
    1234567890: "005924",
    2000000000: "279037",
    20000000000: "353130",
}
"""Seconds since 1970 and the last six of the eight digits in appendix B, mode SHA1."""
HOTP_CODES = ("755224", "287082", "359152", "969429", "338314", "254676")
"""Counters 0 to 5 of RFC 4226 appendix D."""
EMAIL = "budi@contoh.example"
NOW = datetime.datetime(2026, 3, 1, 8, 0, 7, tzinfo=datetime.UTC)
STEP = datetime.timedelta(seconds=totp.STEP_SECONDS)
TICK = datetime.timedelta(microseconds=1)


def at(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def code(secret: str, now: datetime.datetime) -> str:
    return pyotp.TOTP(secret).at(now)


def wrong(secret: str, now: datetime.datetime) -> str:
    """A code that no step near `now` has."""
    near = {code(secret, now + n * STEP) for n in range(-2, 3)}
    return next(c for c in (f"{n:06d}" for n in range(10)) if c not in near)


class TestCodes:
    @pytest.mark.parametrize(("seconds", "expected"), list(RFC_CODES.items()))
    def test_rfc_6238_appendix_b(self, seconds: int, expected: str) -> None:
        assert totp.used_step(RFC_SECRET, expected, at(seconds), 0) == seconds // 30

    @pytest.mark.parametrize(("counter", "expected"), list(enumerate(HOTP_CODES)))
    def test_rfc_4226_appendix_d(self, counter: int, expected: str) -> None:
        assert totp.used_step(RFC_SECRET, expected, at(counter * 30 + 30), -1) == counter

    def test_the_window_is_one_step_on_either_side(self) -> None:
        begin = at(1111111110)
        assert totp.step_of(begin) * 30 == 1111111110
        shown = code(RFC_SECRET, begin)
        first, last = begin - STEP, begin + 2 * STEP - TICK
        for now, good in (
            (first - TICK, False),
            (first, True),
            (begin, True),
            (last, True),
            (last + TICK, False),
        ):
            assert (totp.used_step(RFC_SECRET, shown, now, 0) is not None) is good

    def test_a_code_and_older_ones_are_over_once_used(self) -> None:
        now = at(1111111110)
        step = totp.step_of(now)
        for n in (-1, 0, 1):
            shown = code(RFC_SECRET, now + n * STEP)
            assert totp.used_step(RFC_SECRET, shown, now, step + n - 1) == step + n
            assert totp.used_step(RFC_SECRET, shown, now, step + n) is None
            assert totp.used_step(RFC_SECRET, shown, now, step + 1) is None

    def test_other_codes_are_wrong(self) -> None:
        now = at(59)
        for typed in ("287083", "94287082", "", "28708", "٢٨٧٠٨٢"):
            assert totp.used_step(RFC_SECRET, typed, now, 0) is None


class TestEnrolment:
    def test_secrets_are_20_random_bytes(self) -> None:
        made = {totp.new_secret() for _ in range(50)}
        assert len(made) == 50
        assert {len(base64.b32decode(one)) for one in made} == {20}

    def test_key_uri(self) -> None:
        uri = totp.key_uri(RFC_SECRET, "a+b@contoh.example")
        parts = urlsplit(uri)
        assert (parts.scheme, parts.netloc) == ("otpauth", "totp")
        assert parse_qs(parts.query) == {"secret": [RFC_SECRET], "issuer": ["MediQ"]}
        read = pyotp.parse_uri(uri)
        assert isinstance(read, pyotp.TOTP)
        assert (read.name, read.issuer) == ("a+b@contoh.example", "MediQ")
        assert (read.secret, read.digits, read.interval) == (RFC_SECRET, 6, 30)

    def test_qr_is_one_svg_document_without_script(self) -> None:
        uri = totp.key_uri(RFC_SECRET, EMAIL)
        drawn = totp.qr_svg(uri)
        root = ET.fromstring(drawn)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert {one.tag.rpartition("}")[2] for one in root.iter()} <= {"svg", "g", "path"}
        assert "style=" not in drawn
        assert drawn != totp.qr_svg(totp.key_uri(totp.new_secret(), EMAIL))

    def test_recovery_codes(self) -> None:
        codes = totp.new_recovery_codes()
        assert len(set(codes)) == 10
        for one in codes:
            folded = totp.fold_recovery_code(one)
            assert len(base64.b32decode(folded)) * 8 >= 80
            assert totp.fold_recovery_code(f" {one.lower().replace('-', '  ')} ") == folded


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
def cipher() -> FieldCipher:
    return FieldCipher("k", {"k": bytes(32)}, bytes(range(32)))


class Login:
    """One staff account, whose row is locked before its second factor is touched."""

    def __init__(self, database: Database, cipher: FieldCipher, email: str) -> None:
        self.database, self.email = database, email
        self.cipher = cipher
        self.secret = totp.new_secret()

    def accounts(self, session: Session) -> AccountRepository:
        return AccountRepository(session, AccountCipher(self.cipher))

    def factors(self, session: Session) -> SecondFactorRepository:
        return SecondFactorRepository(session, self.cipher)

    async def create(self) -> None:
        person = Person(role=Role.OPERATOR, nama="Budi", email=self.email)
        await self.database.write(lambda s: self.accounts(s).create(person, "hash", NOW))

    async def locked(self, work: Callable[[Session, str], Result]) -> Result:
        def run(session: Session) -> Result:
            known = self.accounts(session).find_credentials(self.email)
            assert known is not None
            return work(session, known[0].id)

        return await self.database.write(run)

    async def begin(self, now: datetime.datetime = NOW) -> datetime.datetime:
        return await self.locked(lambda s, who: self.factors(s).begin(who, self.secret, now))

    async def confirm(self, typed: str, now: datetime.datetime = NOW) -> list[str]:
        return await self.locked(lambda s, who: self.factors(s).confirm(who, typed, now))

    async def prove(
        self, typed: str = "", recovery: str = "", now: datetime.datetime = NOW
    ) -> bool | str:
        """Whether the login is protected, or the reason of the refusal."""

        def use(session: Session, who: str) -> bool:
            return self.factors(session).prove(who, typed, recovery, now)

        try:
            return await self.locked(use)
        except MeshError as error:
            return error.reason


@pytest.fixture
async def login(database: Database, cipher: FieldCipher) -> Login:
    login = Login(database, cipher, EMAIL)
    await login.create()
    return login


@pytest.fixture
async def codes(login: Login) -> list[str]:
    """Recovery codes of a login that was protected two steps ago."""
    await login.begin(NOW - 2 * STEP)
    return await login.confirm(code(login.secret, NOW - 2 * STEP), NOW - 2 * STEP)


async def refusal(call: Awaitable[object]) -> str:
    with pytest.raises(MeshError) as caught:
        await call
    return caught.value.reason


class TestSecondFactors:
    async def test_nothing_changes_before_the_confirmation(self, login: Login) -> None:
        assert await login.prove() is False
        assert await login.begin() == NOW + datetime.timedelta(minutes=10)
        assert await login.prove() is False
        assert await login.prove("123456", "ABCD") is False
        bad = login.confirm(wrong(login.secret, NOW))
        assert await refusal(bad) == "INVALID_CREDENTIALS"
        assert await login.prove() is False
        await login.confirm(code(login.secret, NOW))
        assert await login.prove() == "TOTP_REQUIRED"

    async def test_enrolments_end_after_ten_minutes(self, login: Login) -> None:
        assert await refusal(login.confirm("123456")) == "TOTP_ENROLMENT_NOT_OPEN"
        end = await login.begin()
        late = login.confirm(code(login.secret, end), end)
        assert await refusal(late) == "TOTP_ENROLMENT_NOT_OPEN"
        await login.confirm(code(login.secret, end - TICK), end - TICK)
        again = login.confirm(code(login.secret, end - TICK), end - TICK)
        assert await refusal(again) == "TOTP_ENROLMENT_NOT_OPEN"

    async def test_only_the_newest_secret_can_be_confirmed(self, login: Login) -> None:
        await login.begin()
        old, login.secret = login.secret, totp.new_secret()
        await login.begin()
        assert await refusal(login.confirm(code(old, NOW))) == "INVALID_CREDENTIALS"
        await login.confirm(code(login.secret, NOW))

    async def test_a_new_enrolment_replaces_the_old_one(
        self, login: Login, codes: list[str]
    ) -> None:
        old, login.secret = login.secret, totp.new_secret()
        await login.begin()
        assert await login.prove(code(old, NOW)) is True
        fresh = await login.confirm(code(login.secret, NOW))
        later = NOW + STEP
        assert await login.prove(code(old, later), now=later) == "INVALID_CREDENTIALS"
        assert await login.prove(recovery=codes[0]) == "INVALID_CREDENTIALS"
        assert await login.prove(code(login.secret, later), now=later) is True
        assert await login.prove(recovery=fresh[0]) is True

    async def test_the_confirming_code_is_used(self, login: Login) -> None:
        await login.begin()
        shown = code(login.secret, NOW)
        await login.confirm(shown)
        assert await login.prove(shown) == "INVALID_CREDENTIALS"
        assert await login.prove(code(login.secret, NOW + STEP)) is True

    @pytest.mark.usefixtures("codes")
    async def test_one_of_two_logins_with_a_code_wins(self, login: Login) -> None:
        shown = code(login.secret, NOW)
        found = await asyncio.gather(*(login.prove(shown) for _ in range(8)))
        assert sorted(map(str, found)) == ["INVALID_CREDENTIALS"] * 7 + ["True"]

    async def test_one_of_two_logins_with_a_recovery_code_wins(
        self, login: Login, codes: list[str]
    ) -> None:
        found = await asyncio.gather(*(login.prove(recovery=codes[3].lower()) for _ in range(8)))
        assert sorted(map(str, found)) == ["INVALID_CREDENTIALS"] * 7 + ["True"]
        assert await login.prove(recovery=codes[3]) == "INVALID_CREDENTIALS"
        for one in (*codes[:3], *codes[4:]):
            assert await login.prove(recovery=one) is True
        assert await login.prove(recovery="-") == "INVALID_CREDENTIALS"

    async def test_a_one_time_code_spares_the_recovery_code(
        self, login: Login, codes: list[str]
    ) -> None:
        bad = wrong(login.secret, NOW)
        assert await login.prove(bad, codes[0]) == "INVALID_CREDENTIALS"
        assert await login.prove(code(login.secret, NOW), codes[0]) is True
        assert await login.prove(recovery=codes[0]) is True

    async def test_codes_of_another_account_open_nothing(
        self, login: Login, codes: list[str], database: Database, cipher: FieldCipher
    ) -> None:
        other = Login(database, cipher, "dewi@contoh.example")
        await other.create()
        await other.begin()
        await other.confirm(code(other.secret, NOW))
        assert await other.prove(code(login.secret, NOW + STEP)) == "INVALID_CREDENTIALS"
        assert await other.prove(recovery=codes[0]) == "INVALID_CREDENTIALS"
        swap = (
            "UPDATE recovery_codes SET user_id = :to WHERE user_id = :of",
            "UPDATE second_factors SET secret = (SELECT secret FROM (SELECT secret FROM"
            " second_factors WHERE user_id = :of) AS copied) WHERE user_id = :to",
        )
        mine, theirs = await login.locked(lambda s, who: who), await other.locked(lambda s, w: w)
        for statement in swap:
            values = {"of": mine, "to": theirs}
            await database.write(lambda s: s.execute(text(statement), values))  # noqa: B023 - awaited at once
        assert await other.prove(recovery=codes[0]) == "INVALID_CREDENTIALS"
        with pytest.raises(DecryptionError):
            await other.prove(code(login.secret, NOW))

    @pytest.mark.usefixtures("codes")
    async def test_removal(self, login: Login, database: Database) -> None:
        await login.begin()
        await login.locked(lambda s, who: login.factors(s).remove(who))
        assert await login.prove() is False
        late = login.confirm(code(login.secret, NOW))
        assert await refusal(late) == "TOTP_ENROLMENT_NOT_OPEN"
        for table in ("second_factors", "recovery_codes"):
            count = text(f"SELECT COUNT(*) FROM {table}")
            assert await database.read(lambda s: s.execute(count).scalar_one()) == 0  # noqa: B023 - awaited at once

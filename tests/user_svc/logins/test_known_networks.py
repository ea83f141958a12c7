"""Logins of staff by address: who guesses elsewhere does not hold up the owner."""

from __future__ import annotations

import asyncio
import datetime
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pyotp
import pytest
from mediq.user.v1 import auth_service_pb2 as logins
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from mesh.clock import utc_now
from mesh.contract.call import CLIENT_ADDRESS
from mesh.encryption.field_cipher import FieldCipher
from mesh.persistence.database import Database
from tests.support.mesh import Mesh, problem
from tests.support.waiting import eventually
from tests.user_svc.conftest import PASSWORD, Clock, World, new_email
from user_svc.__main__ import build
from user_svc.domain.login_throttle import FREE_TRIES
from user_svc.persistence.account_cipher import AccountCipher
from user_svc.persistence.account_repository import AccountRepository
from user_svc.persistence.logins.known_networks import (
    FORGOTTEN_AFTER,
    MAX_NETWORKS,
    login_origin,
    network_of,
    remember,
)

HOME, NEW, GUESSER = "203.0.113.7", "203.0.113.8", "198.51.100.9"
WRONG = "wrong-but-long-enough"
REFUSED = ("UNAUTHENTICATED", "INVALID_CREDENTIALS")
THROTTLED = ("RESOURCE_EXHAUSTED", "LOGIN_THROTTLED")
DAY = datetime.timedelta(days=1)

pytestmark = pytest.mark.usefixtures("clock")


async def login(
    world: World, email: str, address: str, password: str = PASSWORD, code: str = ""
) -> logins.TokenPair:
    """Signs in as Envoy passes it on."""
    return await world.auth.LoginAdmin(
        logins.LoginAdminRequest(email=email, password=password, totp_code=code),
        metadata=((CLIENT_ADDRESS, address),) if address else (),
    )


async def exhaust(world: World, email: str, address: str) -> None:
    """Guesses until it has to wait."""
    for _ in range(FREE_TRIES):
        assert await problem(login(world, email, address, WRONG)) == REFUSED
    assert await problem(login(world, email, address, WRONG)) == THROTTLED


async def hire(world: World, *addresses: str) -> str:
    """The e-mail address of a new member of staff who has signed in from these addresses."""
    email = (await world.create()).email
    for address in addresses:
        await login(world, email, address)
    return email


def networks(world: World) -> int:
    ((count,),) = world.sql("SELECT COUNT(*) FROM login_places")
    return int(count)


async def test_guessing_elsewhere_does_not_hold_up_the_owner(world: World, clock: Clock) -> None:
    email = await hire(world, HOME)
    await exhaust(world, email, GUESSER)
    for _ in range(3):
        await login(world, email, HOME)
        # Nor does the owner's success let the guesser go on.
        assert await problem(login(world, email, GUESSER, WRONG)) == THROTTLED
    assert await problem(login(world, email, NEW)) == THROTTLED
    assert await problem(login(world, email, "")) == THROTTLED
    # Whoever takes each turn as it comes up takes it from the new place, not from the known one.
    for _ in range(8):
        clock.move(datetime.timedelta(minutes=1))
        assert await problem(login(world, email, GUESSER, WRONG)) == REFUSED
        assert await problem(login(world, email, NEW)) == THROTTLED
        await login(world, email, HOME)


async def test_guessing_at_a_known_place_gets_slow_there(world: World, clock: Clock) -> None:
    email = await hire(world, HOME, NEW)
    await exhaust(world, email, HOME)
    assert await problem(login(world, email, HOME)) == THROTTLED
    await login(world, email, NEW)
    assert await problem(login(world, email, GUESSER, WRONG)) == REFUSED
    assert await problem(login(world, email, HOME)) == THROTTLED
    clock.move(datetime.timedelta(seconds=1.1))
    await login(world, email, HOME)
    await exhaust(world, email, HOME)


async def test_a_place_is_one_login_at_one_address(world: World) -> None:
    email, other = await hire(world, HOME), await hire(world, NEW)
    await exhaust(world, other, GUESSER)
    assert await problem(login(world, other, HOME)) == THROTTLED
    await login(world, other, NEW)
    await login(world, f"{email[0].upper()}{email[1:]}", HOME)
    assert networks(world) == 2


async def test_a_login_that_did_not_succeed_makes_no_place(world: World, clock: Clock) -> None:
    email = await hire(world)
    where = ((CLIENT_ADDRESS, HOME),)
    assert await problem(login(world, email, HOME, WRONG)) == REFUSED
    enrolment = await world.auth.BeginTotpEnrolment(
        logins.BeginTotpEnrolmentRequest(email=email, password=PASSWORD), metadata=where
    )
    codes = pyotp.TOTP(enrolment.secret)
    confirm = logins.ConfirmTotpEnrolmentRequest(
        email=email, password=PASSWORD, totp_code=codes.at(clock.now)
    )
    await world.auth.ConfirmTotpEnrolment(confirm, metadata=where)
    assert await problem(login(world, email, HOME)) == ("UNAUTHENTICATED", "TOTP_REQUIRED")
    assert await problem(login(world, email, HOME, code=codes.at(clock.now))) == REFUSED
    assert networks(world) == 0
    clock.move(datetime.timedelta(seconds=60))
    await login(world, email, HOME, code=codes.at(clock.now))
    assert networks(world) == 1
    # All calls with a password count where they come from.
    await exhaust(world, email, GUESSER)
    begin = logins.BeginTotpEnrolmentRequest(email=email, password=WRONG)
    assert await problem(world.auth.BeginTotpEnrolment(begin, metadata=where)) == REFUSED
    assert await problem(world.auth.ConfirmTotpEnrolment(confirm, metadata=where)) != THROTTLED
    assert await problem(world.auth.ConfirmTotpEnrolment(confirm)) == THROTTLED


async def test_without_an_address_there_is_no_place(world: World) -> None:
    email = await hire(world, "", "unix:/somewhere")
    assert networks(world) == 0
    await exhaust(world, email, "")


async def test_the_newest_places_are_kept(world: World, clock: Clock) -> None:
    half = MAX_NETWORKS // 2 + 2
    email = await hire(world, HOME)
    ((first,),) = world.sql("SELECT last_time FROM login_places")
    clock.move(DAY / 2)
    await login(world, email, HOME)
    assert world.sql("SELECT last_time FROM login_places") == [(first,)]
    for number in range(half):
        clock.move(datetime.timedelta(seconds=1))
        await login(world, email, f"192.0.2.{number}")
    clock.move(DAY)
    await login(world, email, HOME)
    for number in range(half, 2 * half):
        clock.move(datetime.timedelta(seconds=1))
        await login(world, email, f"192.0.2.{number}")
    assert networks(world) == MAX_NETWORKS
    await exhaust(world, email, GUESSER)
    await login(world, email, HOME)
    await login(world, email, f"192.0.2.{2 * half - 1}")
    assert await problem(login(world, email, "192.0.2.0")) == THROTTLED
    assert networks(world) == MAX_NETWORKS


async def test_places_that_nobody_uses_are_cleaned_away(world: World, mesh: Mesh) -> None:
    await hire(world, HOME)
    world.age("login_places", "last_time", FORGOTTEN_AFTER - DAY)
    await hire(world, HOME)
    world.age("login_places", "last_time", 2 * DAY)
    async with mesh.serve(world.settings, build):
        await eventually(lambda: networks(world) != 2)
    assert networks(world) == 1


async def test_logins_at_the_same_moment_from_a_new_place(world: World) -> None:
    email = await hire(world)
    for address in (HOME, NEW):
        pairs = await asyncio.gather(*(login(world, email, address) for _ in range(FREE_TRIES)))
        assert len({pair.refresh_token for pair in pairs}) == FREE_TRIES
    assert networks(world) == 2


async def test_who_holds_the_account_may_remember_a_new_place(world: World) -> None:
    email = await hire(world)
    cipher = AccountCipher(FieldCipher.load(world.settings.keys, "user_svc"))
    origin = login_origin(cipher, email, HOME)
    database = Database(world.settings.database)

    def enter(session: Session) -> None:
        assert AccountRepository(session, cipher).find_credentials(email)
        remember(session, origin, utc_now())

    await asyncio.gather(*(database.write(enter) for _ in range(8)))
    await database.close()
    assert networks(world) == 1


async def test_addresses_are_stored_as_keyed_fingerprints(world: World) -> None:
    email = await hire(world, HOME)
    assert await problem(login(world, email, HOME, WRONG)) == REFUSED
    cipher = AccountCipher(FieldCipher.load(world.settings.keys, "user_svc"))
    login_index, network_index = cipher.email_index(email), cipher.network_index(email, HOME)
    assert world.sql("SELECT place_index, login_index FROM login_places") == [
        (network_index, login_index)
    ]
    assert world.sql("SELECT login_index FROM login_attempts") == [(network_index,)]
    assert re.fullmatch("[0-9a-f]{64}", network_index)
    foreign = AccountCipher(FieldCipher("k", {"k": bytes(32)}, bytes(32)))
    assert foreign.network_index(email, HOME) != network_index


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2::a", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2:ffff:0:0:1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::a", "2001:db8:1:3::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unix:/somewhere", ""),
        ("203.0.113.7:443", ""),
    ],
)
def test_what_counts_as_one_address(address: str, network: str) -> None:
    assert network_of(address) == network


@contextmanager
def statements() -> Iterator[list[str]]:
    """What logins ask the database meanwhile."""
    seen: list[str] = []

    def collect(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if re.search(r"login_attempts|login_places|email_index = ", statement):
            seen.append(statement)

    event.listen(Engine, "before_cursor_execute", collect)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", collect)


async def test_an_unknown_login_costs_the_same_statements(world: World) -> None:
    known, unknown = await hire(world, HOME), new_email()
    found = []
    for email, address in ((known, HOME), (known, GUESSER), (unknown, HOME), (unknown, GUESSER)):
        for _ in range(2):
            with statements() as seen:
                assert await problem(login(world, email, address, WRONG)) == REFUSED
            found.append(seen)
    # The last two charge the same login as the two before them.
    first, second, *others, third, fourth = found
    assert any("login_places" in one for one in first)
    assert [first, second] * 2 == others
    assert [third, fourth] == [second, second]

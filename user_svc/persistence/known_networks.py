"""Places that staff sign in from, so that guessing from elsewhere does not hold up the owner.

A place is a login at an address from which it has succeeded before: password and second factor were
right. Tries from there are counted for the place, all others for the login. What is stored are
keyed fingerprints: no address, and none of a login that never succeeded.
"""

import datetime
import ipaddress
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from mesh.contract.call import Call
from user_svc.persistence.account_repository import Accounts
from user_svc.persistence.models import KnownNetworkRow

MOST_PLACES = 20
"""Kept for each login, the newest: each of them gives a guesser there a count of its own."""
FORGOTTEN_AFTER = datetime.timedelta(days=90)
NOTED_EVERY = datetime.timedelta(days=1)
"""How old the time of the last use may be: not every login writes it."""


@dataclass(frozen=True)
class Place:
    """Who says to sign in, and where."""

    login_index: str
    """Blind index of the e-mail address."""
    place_index: str
    """Blind index of e-mail and network address; empty when the address is not known."""


def place_of(accounts: Accounts, email: str, call: Call | None) -> Place:
    """The place of a call that shows this e-mail address, which need not be anybody's."""
    network = "" if call is None else network_of(call.address)
    return Place(
        accounts.email_index(email), accounts.place_index(email, network) if network else ""
    )


def network_of(address: str) -> str:
    """What counts as one address: an IPv4 address, the /64 of an IPv6 one; empty if it is none."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found), 64), strict=False))


def slate_of(session: Session, place: Place) -> str:
    """Under which index the throttle counts a try: that of a known place, else of the login."""
    if not place.place_index:
        return place.login_index
    known = select(KnownNetworkRow.place_index).where(
        KnownNetworkRow.place_index == place.place_index
    )
    return session.scalar(known) or place.login_index


def remember(session: Session, place: Place, now: datetime.datetime) -> None:
    """Keeps the place of a login that has succeeded.

    The unit of work holds the lock of the account, so of two logins at once one adds the row.
    """
    if not place.place_index:
        return
    # Locked against the cleaning, which might delete it at this moment.
    row = session.get(KnownNetworkRow, place.place_index, with_for_update=True)
    if row is None:
        session.add(
            KnownNetworkRow(
                place_index=place.place_index, login_index=place.login_index, last_time=now
            )
        )
        session.flush()
        _keep_newest(session, place.login_index)
    elif now - row.last_time > NOTED_EVERY:
        row.last_time = now


def purge(session: Session, now: datetime.datetime) -> None:
    """Deletes places that nobody has signed in from for long."""
    session.execute(
        delete(KnownNetworkRow).where(KnownNetworkRow.last_time < now - FORGOTTEN_AFTER)
    )


def _keep_newest(session: Session, login_index: str) -> None:
    older = session.scalars(
        select(KnownNetworkRow.place_index)
        .where(KnownNetworkRow.login_index == login_index)
        .order_by(KnownNetworkRow.last_time.desc())
        .offset(MOST_PLACES)
    ).all()
    if older:
        session.execute(delete(KnownNetworkRow).where(KnownNetworkRow.place_index.in_(older)))

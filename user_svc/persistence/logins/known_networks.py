"""Networks that staff sign in from, so that guessing from elsewhere does not hold up the owner.

A network is known to a login at an address from which the login has succeeded before: password and
second factor were right. Tries from there are counted for the network, all others for the login.
What is stored are keyed fingerprints: no address, and none of a login that never succeeded.
"""

import datetime
import ipaddress
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from user_svc.persistence.account_cipher import AccountCipher
from user_svc.persistence.models import KnownNetworkRow

MAX_NETWORKS = 20
"""Kept for each login, the newest: each of them gives a guesser there a counter of its own."""
FORGOTTEN_AFTER = datetime.timedelta(days=90)
RENEWED_EVERY = datetime.timedelta(days=1)
"""How old the time of the last use may be: not every login writes it."""


@dataclass(frozen=True)
class LoginOrigin:
    """Names who says to sign in, and from which network."""

    login_index: str
    """Blind index of the e-mail address."""
    network_index: str
    """Blind index of e-mail and network address; empty when the address is not known."""


def login_origin(cipher: AccountCipher, email: str, address: str) -> LoginOrigin:
    """Returns the origin of a login with this e-mail address, which need not be anybody's.

    Args:
        cipher: Makes the indexes.
        email: The e-mail address.
        address: Network address of the caller. Empty: not known.
    """
    network = network_of(address)
    return LoginOrigin(
        cipher.email_index(email), cipher.network_index(email, network) if network else ""
    )


def network_of(address: str) -> str:
    """Returns what counts as one address: an IPv4 address, the /64 of an IPv6 one, else nothing."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found), 64), strict=False))


def attempt_counter(session: Session, origin: LoginOrigin) -> str:
    """Returns which counter counts a try: that of a known network, else that of the login."""
    if not origin.network_index:
        return origin.login_index
    known = select(KnownNetworkRow.place_index).where(
        KnownNetworkRow.place_index == origin.network_index
    )
    return session.scalar(known) or origin.login_index


def remember(session: Session, origin: LoginOrigin, now: datetime.datetime) -> None:
    """Keeps the network of a login that has succeeded.

    The unit of work holds the lock of the account, so of two logins at once one adds the row.
    """
    if not origin.network_index:
        return
    # Locked against the cleaning, which might delete it at this moment.
    row = session.get(KnownNetworkRow, origin.network_index, with_for_update=True)
    if row is None:
        session.add(
            KnownNetworkRow(
                place_index=origin.network_index, login_index=origin.login_index, last_time=now
            )
        )
        session.flush()
        _keep_newest(session, origin.login_index)
    elif now - row.last_time > RENEWED_EVERY:
        row.last_time = now


def purge(session: Session, now: datetime.datetime) -> None:
    """Deletes networks that nobody has signed in from for long."""
    session.execute(
        delete(KnownNetworkRow).where(KnownNetworkRow.last_time < now - FORGOTTEN_AFTER)
    )


def _keep_newest(session: Session, login_index: str) -> None:
    older = session.scalars(
        select(KnownNetworkRow.place_index)
        .where(KnownNetworkRow.login_index == login_index)
        .order_by(KnownNetworkRow.last_time.desc())
        .offset(MAX_NETWORKS)
    ).all()
    if older:
        session.execute(delete(KnownNetworkRow).where(KnownNetworkRow.place_index.in_(older)))

"""The `mediq audit recipients` command: names and addresses of who was touched, for letters.

It asks for the same persons as `mediq audit touched`, page by page.
"""

import csv
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, TextIO

import typer
from sqlalchemy import select
from sqlalchemy.orm import Session

from mesh.clock import utc_now
from mesh.encryption.field_cipher import DecryptionError, FieldCipher
from mesh.persistence.database import Database
from user_svc.audit.chain import AuditChain
from user_svc.cli.audit_support import (
    Actor,
    Institution,
    Reason,
    Since,
    Until,
    on_trail,
    put_on_record,
    text_of,
    time_of,
    touched_pages,
)
from user_svc.domain.audit_trail import TouchedFilter, require_order
from user_svc.persistence.account_cipher import AccountCipher
from user_svc.persistence.models import UserRow
from user_svc.settings import UserSettings

COMMAND = "audit recipients"
"""Words of the command, for the audit trail."""
COLUMNS = ("id", "nama", "alamat")
INCOMPLETE = 1
"""Exit code: the names or addresses of some persons cannot be read."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula. Names come from cards."""


@dataclass(frozen=True)
class _Recipient:
    nama: str
    alamat: str


@dataclass
class _Counts:
    written: int = 0
    no_address: int = 0
    """Of those that are written."""
    closed: int = 0
    damaged: int = 0


_KnownOf = Callable[[Sequence[str]], Awaitable[Mapping[str, _Recipient | None]]]
"""Reads of persons those with an open account; None for one whose data are damaged."""


def recipients(
    since: Since,
    output: Annotated[Path, typer.Option(help="The CSV file. It must not exist yet.")],
    until: Until = "",
    actor: Actor = None,
    institution: Institution = None,
    reason: Reason = "",
) -> None:
    """Write names and addresses of everyone whose data were seen or changed, for letters.

    Of closed and erased accounts the identifiers are printed: nothing else of them is shown. That
    you looked is put into the trail. Exit 0: everybody is written or printed; 1: the data of some
    are damaged; 2: nothing is written.
    """
    start = time_of(since, "--from")
    if start is None:
        raise typer.BadParameter("say from when", param_hint="--from")
    end = time_of(until, "--to") or utc_now()
    wanted = TouchedFilter(start, end, text_of(actor), text_of(institution))
    counts = _Counts()

    async def work(database: Database, chain: AuditChain) -> None:
        require_order(start, end)
        async with _open_accounts() as known_of:
            with _new_file(output) as file:
                table = csv.writer(file)
                table.writerow(COLUMNS)
                async for page in touched_pages(database, wanted):
                    persons = [one.person_id for one in page]
                    # What cannot be recorded is not shown.
                    await put_on_record(
                        database, chain, COMMAND, persons, wanted.institution_id, reason
                    )
                    table.writerows(_rows(persons, await known_of(persons), counts))

    on_trail(work)
    typer.echo(f"written: {counts.written}, of these without an address: {counts.no_address}")
    typer.echo(f"closed or erased: {counts.closed}")
    if counts.damaged:
        typer.echo(f"damaged: {counts.damaged}")
        raise typer.Exit(INCOMPLETE)


@asynccontextmanager
async def _open_accounts() -> AsyncIterator[_KnownOf]:
    """Opens the accounts; gives what reads the open ones of persons."""
    settings = UserSettings()
    cipher = AccountCipher(FieldCipher.load(settings.keys, settings.service))
    # Not the trail's, which may be a database of its own.
    accounts = Database(settings.database, 1)
    try:
        yield lambda persons: accounts.read(partial(_known, cipher=cipher, persons=persons))
    finally:
        await accounts.close()


def _known(
    session: Session, cipher: AccountCipher, persons: Sequence[str]
) -> dict[str, _Recipient | None]:
    """Reads of persons those with an open account; None for one whose data are damaged."""
    query = select(UserRow.id, UserRow.nama, UserRow.alamat).where(
        UserRow.id.in_(persons), UserRow.close_time.is_(None)
    )
    found: dict[str, _Recipient | None] = {}
    for row in session.execute(query):
        try:
            found[row.id] = _Recipient(
                cipher.decrypt(row.id, "nama", row.nama),
                cipher.decrypt(row.id, "alamat", row.alamat),
            )
        except DecryptionError:
            found[row.id] = None
    return found


def _rows(
    persons: Sequence[str], known: Mapping[str, _Recipient | None], counts: _Counts
) -> Iterator[tuple[str, str, str]]:
    """Yields the rows of the file. Counts, and prints who has none."""
    for person in persons:
        if person not in known:
            counts.closed += 1
            typer.echo(f"closed or erased: {person}")
        elif (one := known[person]) is None:
            counts.damaged += 1
            typer.echo(f"mediq: the data of {person} are damaged", err=True)
        else:
            counts.written += 1
            counts.no_address += not one.alamat
            yield person, _cell(one.nama), _cell(one.alamat)


def _cell(text: str) -> str:
    """Returns the text, so that a spreadsheet takes it for one."""
    return f"'{text}" if text.startswith(FORMULA) else text


@contextmanager
def _new_file(path: Path) -> Iterator[TextIO]:
    """Opens a file for its owner alone. When the work fails it goes: half looks whole.

    Raises:
        OSError: It exists, or cannot be made or written.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            yield file
    except BaseException:
        path.unlink()
        raise

"""Rotation of data keys: what a database holds of encrypted values, and a whole rotation."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Engine, LargeBinary, MetaData, inspect, text
from typer.testing import CliRunner

from mesh.encryption import data_keys
from mesh.encryption.data_keys import DataKey
from mesh.persistence.database import make_engine
from mesh.registry import service_definition
from ops.cli.data_keys import app
from tests.support.waiting import eventually

Columns = set[tuple[str, str]]
ON_THE_WAY = {("audit_outbox", "payload")}
"""Encrypted columns whose rows may be gone at any moment."""
OPEN_BINARIES = {("outbox", "payload")}
"""Binary columns that hold no personal data and are not encrypted."""


def declared(service: str) -> Columns:
    """What a service declares, as table and column."""
    return {(str(one.table), one.name) for one in service_definition(service).encrypted_columns}


def undeclared_binaries(service: str, metadata: MetaData) -> Columns:
    """Columns that could hold ciphertexts, and are declared neither as encrypted nor as open."""
    binaries = {
        (table.name, column.name)
        for table in metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, LargeBinary)
    }
    return binaries - declared(service) - OPEN_BINARIES


def holding(engine: Engine, key_ids: Collection[str]) -> Counter[tuple[str, str, str]]:
    """How many values of each table and column begin with which key, whatever the column's type."""
    found: Counter[tuple[str, str, str]] = Counter()
    with engine.connect() as connection:
        for table in inspect(connection).get_table_names():
            result = connection.execute(text(f"SELECT * FROM {table}"))
            names = list(result.keys())
            for row in result:
                for name, value in zip(names, row, strict=True):
                    raw = value.encode() if isinstance(value, str) else value
                    if isinstance(raw, bytes):
                        prefix = raw.partition(b":")[0].decode("ascii", "replace")
                        if prefix in key_ids:
                            found[table, name, prefix] += 1
    return found


def columns_holding(engine: Engine, key_ids: Collection[str]) -> Columns:
    """Where values begin with one of the keys, and where they may at any moment."""
    return {(table, name) for table, name, _ in holding(engine, key_ids)} | ON_THE_WAY


def await_turn(key: DataKey) -> DataKey:
    """Waits until a key encrypts, as its file says; gives it back."""
    time.sleep(max(0.0, key.encrypts_from - time.time()))
    return key


@pytest.fixture
def quick_reencryption(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short steps without rest, and no time in which a lagging replica may encrypt."""
    monkeypatch.setattr("mesh.encryption.field_cipher.REREAD_SECONDS", 0.0)
    for name, value in {
        "REST_SECONDS": 0.0,
        "POLL_SECONDS": 0.02,
        "RETRY_SECONDS": 0.05,
        "PAGE_ROWS": 40,
        "STEP_ROWS": 7,
        "QUIET_SECONDS": 0,
    }.items():
        monkeypatch.setattr(f"mesh.encryption.reencryption.{name}", value)
    monkeypatch.setattr("mesh.encryption.data_keys.QUIET_SECONDS", 0)


async def rotate_while_it_serves(
    service: str, home: Path, url: str, load: Callable[[], Awaitable[object]]
) -> None:
    """Rotates the key of a running service, waits until it has re-encrypted everything, and prunes.

    Args:
        service: It runs with `quick_reencryption`, and each column that it declares holds a value.
        home: Its data folder.
        url: Its database.
        load: Something that the service does, again and again until the rotation is over.

    Raises:
        AssertionError: A column holds ciphertexts and is not declared, or the other way round; or
            something is left under the old key.
    """
    engine = make_engine(url, 2)
    folder = home / "keys"
    file = data_keys.file_of(folder, service)
    (old,) = [key.key_id for key in data_keys.read_data_keys(file).keys]
    # The audit trail gets what happened a moment later.
    await eventually(lambda: columns_holding(engine, [old]) >= declared(service))
    assert columns_holding(engine, [old]) == declared(service)

    async def keep_loading() -> None:
        while True:
            await load()

    loading = asyncio.ensure_future(keep_loading())
    new = data_keys.rotate(folder, service, 1)

    async def reencrypted() -> bool:
        if loading.done():
            await loading
        return time.time() >= new.encrypts_from and not holding(engine, [old])

    await eventually(reencrypted, every_seconds=0.05)
    loading.cancel()
    with suppress(asyncio.CancelledError):
        await loading
    assert holding(engine, [old]) == Counter()
    assert columns_holding(engine, [new.key_id]) == declared(service)
    environment = {"MEDIQ_HOME": str(home), f"MEDIQ_{service.upper()}_DATABASE_URL": url}
    done = await asyncio.to_thread(CliRunner().invoke, app, ["prune", service], env=environment)
    # What the service logs at this moment may stand before it.
    assert f"{service}: {old} removed\n" in done.output
    assert done.exit_code == 0
    assert [key.key_id for key in data_keys.read_data_keys(file).keys] == [new.key_id]
    engine.dispose()

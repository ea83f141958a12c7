"""Fixtures of all tests."""

import gc
import logging
import os
import shutil
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog
from xdist.remote import Producer

from mesh import data_dir
from mesh.rpc.server import GC_THRESHOLDS
from tests.support.backends.databases import database_url, mariadb_databases, schema
from tests.support.commands import command_trail
from tests.support.encrypted import quick_reencryption
from tests.support.logged import lines
from tests.support.mesh import Mesh
from tests.support.runs.scheduling import WHOLE, Scheduling, group_of
from tests.support.scan import fail_when_given_away

__all__ = [
    "command_trail",
    "database_url",
    "lines",
    "mariadb_databases",
    "quick_reencryption",
    "schema",
]
MEMORY_BYTES = 4 * 2**30
"""More than twice what all tests write."""


def keep_files_in_memory() -> None:
    """Puts the folders of tests into memory where there is room: SQLite waits for a disk."""
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > MEMORY_BYTES:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


def configure_logs() -> None:
    """Sends what this process logs to its standard error, as services do, without redaction.

    It goes past `sys.stderr`, which a command that a test runs in this process has replaced: a
    service beside it must not write into the command's output. A traceback is plain: one that is
    drawn costs more than most tests.
    """
    *processors, renderer = structlog.get_config()["processors"]
    renderer.exception_formatter = structlog.dev.plain_traceback
    structlog.configure(
        processors=[*processors, renderer],
        logger_factory=structlog.PrintLoggerFactory(sys.__stderr__),
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Looks through what each test has had logged."""
    report = yield
    fail_when_given_away(report)
    return report


def pytest_configure() -> None:
    """Sets what all tests share.

    Ctrl-C reaches what tests start: a shell's background job ignores it, for all below. Garbage is
    looked for as seldom as in a service: with what all tests import, that was a fifth of the time.
    """
    gc.set_threshold(*GC_THRESHOLDS)
    # How long an example takes says more of the machine than of the test.
    hypothesis.settings.register_profile(
        "mediq", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("mediq")
    keep_files_in_memory()
    configure_logs()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Keeps what was imported and collected out of all searches for garbage."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts first what takes longest: it must not begin last."""
    order = {f"tests/{name}": number for number, name in enumerate(WHOLE)}
    items.sort(key=lambda item: order.get(group_of(item.nodeid), len(order)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """Keeps together what shares a server."""
    return Scheduling(config, log)


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """Takes back what a test, or a command that it ran, has set of the logs of this process.

    Without that it depends on the tests before whether what a test logs is redacted.
    """
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    structlog.reset_defaults()
    configure_logs()
    structlog.contextvars.clear_contextvars()
    root.handlers, root.level = handlers, level


@pytest.fixture(scope="session")
def home_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with keys and certificates, made once."""
    folder = tmp_path_factory.mktemp("home")
    data_dir.prepare(folder)
    return folder


@pytest.fixture
def home_copy(home_folder: Path, tmp_path: Path) -> Path:
    """The same in a copy that a test may damage, or rotate the keys of."""
    return shutil.copytree(home_folder, tmp_path / "home", symlinks=True)


@pytest.fixture
def mesh(home_folder: Path) -> Mesh:
    """A mesh without servers; tests start what they need."""
    return Mesh(home_folder)

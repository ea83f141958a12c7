"""What the process logs while a test runs."""

import io
import logging
from collections.abc import Iterator

import pytest
import structlog

from mesh.observability import logs


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the process logs at its most talkative, whatever tests before have set."""
    root = logging.getLogger()
    handlers, level, before = root.handlers, root.level, structlog.get_config()
    logs.configure("test", "DEBUG")
    written = io.StringIO()
    for handler in root.handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(written)
    yield written
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    structlog.configure(**before)
    structlog.contextvars.clear_contextvars()

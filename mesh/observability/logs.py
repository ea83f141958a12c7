"""Structured logs: one JSON object a line on standard error, personal data hidden."""

import logging
import sys
from collections.abc import Mapping, MutableMapping

# structlog colours its own console with rich where that is installed. Our lines are JSON, and rich
# is 4 MB a process, so it is out of sight for this one import.
_rich = sys.modules.get("rich")
sys.modules["rich"] = None  # type: ignore[assignment]
import structlog  # noqa: E402

del sys.modules["rich"]
if _rich is not None:
    sys.modules["rich"] = _rich


from mesh.contract.call import current_call  # noqa: E402
from mesh.contract.redaction import redact_text  # noqa: E402

__all__ = [
    "configure",
    "logger",
]

Event = MutableMapping[str, object]
_KEPT = {"timestamp", "trace_id"}


def _add_call(
    _: object, __: str, event: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    call = current_call()
    if call is not None:
        event.setdefault("trace_id", call.trace_id)
        event.setdefault("method", call.method.path)
    return event


def _redact(_: object, __: str, event: Event) -> Event:
    for key, value in event.items():
        # What begins with an underscore is of structlog, and is not written.
        if key not in _KEPT and not key.startswith("_"):
            event[key] = _redacted(value)
    return event


def _redacted(value: object) -> object:
    """Returns the value as it may be written: other objects become texts, as in JSON."""
    match value:
        case None | bool() | float():
            return value
        case int():
            text = redact_text(str(value))
            return value if text == str(value) else text
        case str():
            return redact_text(value)
        case Mapping():
            return {redact_text(str(key)): _redacted(one) for key, one in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_redacted(one) for one in value]
    return redact_text(repr(value))


def configure(service: str, level: str) -> None:
    """Sends the logs of this process, the standard library's included, to standard error.

    Args:
        service: Name that every line carries.
        level: Lowest level that is written, such as INFO.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso"),
        _add_call,
        structlog.processors.format_exc_info,
        _redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # At DEBUG gRPC logs a server that is just being freed. Whoever keeps that record has it freed
    # twice, which ends the process.
    logging.getLogger("grpc").setLevel(max(logging.INFO, root.level))
    structlog.contextvars.bind_contextvars(service=service)


def logger() -> structlog.stdlib.BoundLogger:
    """Returns the logger of the process."""
    found: structlog.stdlib.BoundLogger = structlog.get_logger()
    return found

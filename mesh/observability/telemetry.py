"""Traces: one span a served call, W3C trace context in and out (https://www.w3.org/TR/trace-context/)."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from opentelemetry import trace
from opentelemetry.propagate import extract, inject
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind

from mesh.contract.methods import Method

__all__ = [
    "configure",
    "outgoing",
    "served",
    "trace_id",
]

_tracer = trace.get_tracer("mesh")


def configure(service: str, ratio: float, folder: Path) -> TracerProvider:
    """Records a share of the traces as JSON into `folder`/<service>.jsonl.

    Args:
        service: Name on every span.
        ratio: Share of the traces that begin here; a caller's decision is followed.
        folder: Where the spans go. Made on demand.
    """
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(ratio)),
        resource=Resource.create({SERVICE_NAME: service}),
    )
    if ratio > 0:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        output = (folder / f"{service}.jsonl").open("a", encoding="utf-8")
        exporter = ConsoleSpanExporter(
            out=output, formatter=lambda span: span.to_json(indent=None) + "\n"
        )
        provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return provider


@contextmanager
def served(method: Method, metadata: Iterable[tuple[str, str | bytes]]) -> Iterator[Span]:
    """Opens the span of a call that this process serves, child of the caller's."""
    carrier = {key: value for key, value in metadata if key in ("traceparent", "tracestate")}
    with _tracer.start_as_current_span(
        method.path[1:],
        context=extract(carrier) if carrier else None,
        kind=SpanKind.SERVER,
        attributes={
            "rpc.system": "grpc",
            "rpc.service": method.service,
            "rpc.method": method.name,
        },
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        yield span


def trace_id(span: Span) -> str:
    """Returns the trace's identifier, 32 hexadecimal digits; empty when nothing is traced."""
    context = span.get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else ""


def outgoing() -> Mapping[str, str]:
    """Returns the metadata that carries the running trace to another service."""
    carrier: dict[str, str] = {}
    inject(carrier)
    return carrier

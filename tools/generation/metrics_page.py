"""Prints docs/reference/metrics.md: every instrument that the code makes, as Prometheus sees it."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LEFT_OUT = {"bench", "docs", "gen", "tests", "tools"}
KINDS = {
    "create_counter": "counter",
    "create_gauge": "gauge",
    "create_histogram": "histogram",
    "create_up_down_counter": "gauge",
}
"""Kinds of Prometheus by the method of OpenTelemetry's meter that makes the instrument."""
HEAD = """# Metrics

`MEDIQ_<NAME>_METRICS_PORT=9404` (any free port; [settings.md](settings.md)) lets a service answer
Prometheus at `http://<host>:9404/metrics`; without it nothing is measured. It is plain HTTP without
a login: keep the port inside. Generated from the code by `make gen`; `make check` compares.

Every service shows its memory and processor time besides (`process_*`). No attribute holds personal
data.

| metric | kind | made in | tells |
| --- | --- | --- | --- |"""
TAIL = """
`<name>` is `outbox` for the ticket events of `queue_svc`, and `audit_outbox` in each service for
what waits for the audit trail. Alert on their lag.

| metric | attribute | values |
| --- | --- | --- |
| `mediq_ocr_engine_stage_duration_seconds` | `stage` | decode, detect, read, ... |
| `mediq_ocr_engine_waiting_duration_seconds` | `kind` | single, batch |
| `mediq_ocr_engine_readings_total` | `document_type` | the kind of card |
| | `outcome` | READ, or the reason of the error |
"""


def shown(name: str, unit: str, kind: str) -> str:
    """Returns the name under which Prometheus sees an instrument."""
    suffixes = ["seconds"] if unit == "s" else []
    suffixes += ["total"] if kind == "counter" else []
    return "_".join([name.replace(".", "_"), *suffixes])


def literal(node: ast.expr | None) -> str:
    """Returns a text as it stands in the code, with `<name>` for a variable in it."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(literal(part) for part in parts)
        case ast.FormattedValue(value=ast.Name(id=name)):
            return f"<{name}>"
    return ""


def instruments(source: str) -> Iterator[tuple[str, str, str]]:
    """Yields name, kind and description of each instrument that a module makes."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(attr=method), args=[first, *_]) if method in KINDS:
                name = literal(first)
                if name.startswith("mediq."):
                    given = {word.arg: literal(word.value) for word in node.keywords}
                    kind = KINDS[method]
                    yield shown(name, given.get("unit", ""), kind), kind, given["description"]


def render() -> str:
    """Returns the page, the same at every call."""
    rows = set()
    for path in ROOT.glob("[a-z]*/**/*.py"):
        package = path.relative_to(ROOT).parts[0]
        if package not in LEFT_OUT:
            for name, kind, description in instruments(path.read_text(encoding="utf-8")):
                rows.add(f"| `{name}` | {kind} | `{package}` | {description} |")
    return "\n".join([HEAD, *sorted(rows), TAIL])


if __name__ == "__main__":
    print(render(), end="")

"""The pages that are made from the code say what the code says, all of it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from mesh.settings import ServiceSettings
from tools.generation import commands_page, metrics_page, settings_page

ROOT = Path(__file__).parents[2]
SERVICES = ("gateway", "user_svc", "ocr_svc", "ocr_engine", "queue_svc", "institution_svc")
PACKAGES = ("mesh", "edge", "ops", *SERVICES)


class SampleSettings(ServiceSettings):
    """Holds settings of nobody."""

    model_config = SettingsConfigDict(env_prefix="MEDIQ_SAMPLE_")
    service: ClassVar[str] = "sample"

    share: float = Field(default=0.5, gt=0, le=1)
    """How much
    of it."""
    folder: Path | None = None
    """Where it is."""
    silent: int = 1


@pytest.mark.parametrize("page", ["settings", "commands", "metrics"])
def test_the_page_is_up_to_date(page: str) -> None:
    pages: dict[str, Any] = {
        "settings": settings_page,
        "commands": commands_page,
        "metrics": metrics_page,
    }
    written = (ROOT / "docs" / "reference" / f"{page}.md").read_text(encoding="utf-8")
    assert written == pages[page].render(), "run make gen"


def test_a_setting_has_variable_meaning_range_and_default() -> None:
    assert list(settings_page.rows(SampleSettings, ["share", "folder"], "MEDIQ_SAMPLE_"))[2:] == [
        "| `MEDIQ_SAMPLE_SHARE` | How much of it. | number, above 0, at most 1 | 0.5 |",
        "| `MEDIQ_SAMPLE_FOLDER` | Where it is. | path | empty |",
    ]


def test_a_setting_without_docstring_is_refused() -> None:
    with pytest.raises(ValueError, match="silent has no docstring"):
        list(settings_page.rows(SampleSettings, ["silent"], ""))


def variables() -> Iterator[str]:
    """Returns every variable of the environment that the packages name in full."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            yield from re.findall(r"MEDIQ_[A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(set(variables())))
def test_every_variable_is_on_the_page(name: str) -> None:
    of_any = re.sub("|".join(SERVICES).upper(), "<NAME>", name)
    page = settings_page.render()
    assert f"`{name}`" in page or f"`{of_any}`" in page


def test_every_command_is_on_the_page() -> None:
    page = commands_page.render()
    found = set(re.findall(r"^## mediq (.+)$", page, re.MULTILINE))
    assert {"up", "demo", "scan", "audit verify", "keys rotate", "db upgrade"} <= found
    assert "| `--level <clean\\|medium\\|hard>` | How hard to read the photo is." in page


def test_instruments_are_found_with_their_prometheus_names() -> None:
    source = """
self.depth = meter.create_gauge(f"mediq.{name}.lag", unit="s", description="How late.")
self.calls = server.meter.create_counter("mediq.calls", description="Calls.")
store.create_counter(session, institution)
"""
    assert list(metrics_page.instruments(source)) == [
        ("mediq_<name>_lag_seconds", "gauge", "How late."),
        ("mediq_calls_total", "counter", "Calls."),
    ]

"""What tests have written, looked through for what must never be written."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

NUMBER = re.compile(r"(?<![\w.-])\d{16}(?![\w.-])")
TOKEN = re.compile(r"eyJ[\w-]{8,}")


def given_away(text: str, secrets: Iterable[str] = ()) -> list[str]:
    """What a text gives away, shortened: numbers like a NIK, access tokens and the secrets."""
    found = [*NUMBER.findall(text), *TOKEN.findall(text)]
    found += [secret for secret in secrets if secret in text]
    return [f"{one[:6]}..." for one in found]


def fail_when_given_away(report: pytest.TestReport) -> None:
    """Makes a test fail whose services have logged a NIK or a token, whatever it looks at itself.

    Services in tests log without the redaction of production: what is not logged in the first
    place needs none.
    """
    for title, text in report.sections:
        # The report of each phase repeats what the earlier ones have captured.
        if report.passed and title.endswith(report.when or "") and (found := given_away(text)):
            report.outcome = "failed"
            report.longrepr = f"{title} of {report.when} holds {', '.join(found)}"

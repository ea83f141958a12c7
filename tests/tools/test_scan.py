"""The scan of what all tests have had logged."""

import base64

import pytest

from tests.support.scan import fail_when_given_away

NIK = "32" + "0" * 13 + "1"
HEADER = base64.urlsafe_b64encode(b'{"alg":"ES256"}').decode()


@pytest.mark.parametrize(
    ("written", "outcome"),
    [
        (f'{{"nik": "{NIK}"}}', "failed"),
        (f"user {NIK} is new", "failed"),
        (f"Bearer {HEADER}.e30.c2ln", "failed"),
        ("2026-01-01T00:00:00.0000000Z trace=4bf92f3577b34da6a3ce929d0e0e4736", "passed"),
        (f"3201********0001 {'4' * 17} a-{'4' * 16}", "passed"),
    ],
)
def test_a_test_fails_when_a_secret_was_logged(written: str, outcome: str) -> None:
    report = pytest.TestReport(
        "tests/x.py::test",
        ("x.py", 1, "test"),
        {},
        "passed",
        None,
        "call",
        sections=[("Captured stdout call", written)],
    )
    fail_when_given_away(report)
    assert report.outcome == outcome

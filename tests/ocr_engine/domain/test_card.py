"""The result of a reading."""

from datetime import date

import pytest

from ocr_engine.domain import (
    Advice,
    CardReading,
    DocumentType,
    NoCard,
    Quality,
    parse_printed_date,
    read_ktp,
)
from tests.ocr_engine.layout import card


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20-09-1950", date(1950, 9, 20)),
        ("29-02-2000", date(2000, 2, 29)),
        ("29-02-1900", None),
        ("00-01-2000", None),
        ("20-09-50", None),
        ("20/09/1950", None),
        ("", None),
    ],
)
def test_printed_dates(text: str, expected: date | None) -> None:
    assert parse_printed_date(text) == expected


def test_birth_date_of_a_card() -> None:
    assert read_ktp(card()).birth_date() == date(1950, 9, 20)
    assert CardReading(DocumentType.UNKNOWN).birth_date() is None


def test_a_picture_without_a_card_is_refused_with_advice() -> None:
    reading = CardReading(DocumentType.UNKNOWN, quality=Quality(advice=(Advice.BLURRED,)))

    with pytest.raises(NoCard) as caught:
        reading.require_card()

    assert caught.value.reason == "NO_CARD"
    assert caught.value.metadata == {"advice": "BLURRED"}

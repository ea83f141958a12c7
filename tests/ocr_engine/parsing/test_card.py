"""The result of a reading."""

from dataclasses import fields
from datetime import date

import pytest

from mesh.errors import StatusCode
from ocr_engine.parsing import (
    ADVICE_MESSAGES,
    ADVICE_MESSAGES_EN,
    Advice,
    CardReading,
    DocumentType,
    KtpFields,
    NoCard,
    Quality,
    SeveralCards,
    SimFields,
    parse_printed_date,
    read_ktp,
    read_sim,
)
from ocr_engine.parsing.fields.messages import DISPLAY_NAMES
from tests.ocr_engine.layout import card, numbered_sim


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
    assert read_sim(numbered_sim()).birth_date() == date(1950, 9, 20)
    assert CardReading(DocumentType.UNKNOWN).birth_date() is None


def test_a_picture_without_a_card_is_refused_with_advice() -> None:
    reading = CardReading(DocumentType.UNKNOWN, quality=Quality(advice=(Advice.BLURRED,)))

    with pytest.raises(NoCard) as caught:
        reading.require_card()

    assert caught.value.reason == "NO_CARD"
    assert caught.value.metadata == {"advice": "BLURRED"}


def test_a_card_is_not_refused() -> None:
    CardReading(DocumentType.SIM, SimFields()).require_card()


def test_several_cards() -> None:
    error = SeveralCards()

    assert (error.kind, error.reason) == (StatusCode.INVALID_ARGUMENT, "SEVERAL_CARDS")
    assert "one card at a time" in error.message


def test_all_advice_is_in_both_languages() -> None:
    assert set(ADVICE_MESSAGES) == set(ADVICE_MESSAGES_EN) == set(Advice)


def test_all_fields_have_names_in_both_languages() -> None:
    names = {spec.name for kind in (KtpFields, SimFields) for spec in fields(kind)}

    assert set(DISPLAY_NAMES) == names

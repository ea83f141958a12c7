"""What a card says: the rules that turn lines of text into typed fields."""

from ocr_engine.parsing.checks import check, contradicts
from ocr_engine.parsing.fields.card import (
    Advice,
    CardFields,
    CardReading,
    CardWarning,
    DocumentType,
    Field,
    FieldReason,
    KtpFields,
    NoCard,
    Quality,
    SeveralCards,
    SimFields,
    WarningCode,
    parse_printed_date,
)
from ocr_engine.parsing.fields.messages import ADVICE_MESSAGES, ADVICE_MESSAGES_EN
from ocr_engine.parsing.fields.text import (
    BLOOD_CHARACTERS,
    DASHED_DIGITS,
    DIGITS,
    PAIR_CHARACTERS,
    TextBox,
)
from ocr_engine.parsing.ktp import read_ktp
from ocr_engine.parsing.reading import read_card
from ocr_engine.parsing.sim import read_sim

__all__ = [
    "ADVICE_MESSAGES",
    "ADVICE_MESSAGES_EN",
    "BLOOD_CHARACTERS",
    "DASHED_DIGITS",
    "DIGITS",
    "PAIR_CHARACTERS",
    "Advice",
    "CardFields",
    "CardReading",
    "CardWarning",
    "DocumentType",
    "Field",
    "FieldReason",
    "KtpFields",
    "NoCard",
    "Quality",
    "SeveralCards",
    "SimFields",
    "TextBox",
    "WarningCode",
    "check",
    "contradicts",
    "parse_printed_date",
    "read_card",
    "read_ktp",
    "read_sim",
]

"""What a card says: the rules that turn lines of text into typed fields."""

from ocr_engine.domain.card import (
    ADVICE_MESSAGES,
    Advice,
    CardReading,
    CardWarning,
    DocumentType,
    Field,
    FieldReason,
    KtpFields,
    NoCard,
    Quality,
    WarningCode,
    parse_printed_date,
)
from ocr_engine.domain.checks import check
from ocr_engine.domain.ktp import read_ktp
from ocr_engine.domain.text import TextBox

__all__ = [
    "ADVICE_MESSAGES",
    "Advice",
    "CardReading",
    "CardWarning",
    "DocumentType",
    "Field",
    "FieldReason",
    "KtpFields",
    "NoCard",
    "Quality",
    "TextBox",
    "WarningCode",
    "check",
    "parse_printed_date",
    "read_ktp",
]

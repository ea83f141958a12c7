"""What a card says: the rules that turn lines of text into typed fields."""

from ocr_engine.domain.card import (
    Advice,
    CardReading,
    CardWarning,
    DocumentType,
    Field,
    FieldReason,
    KtpFields,
    Quality,
    WarningCode,
    parse_printed_date,
)
from ocr_engine.domain.ktp import read_ktp
from ocr_engine.domain.text import TextBox

__all__ = [
    "Advice",
    "CardReading",
    "CardWarning",
    "DocumentType",
    "Field",
    "FieldReason",
    "KtpFields",
    "Quality",
    "TextBox",
    "WarningCode",
    "parse_printed_date",
    "read_ktp",
]

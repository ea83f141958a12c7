"""What the engine read from the photo of a card."""

from collections.abc import Mapping
from dataclasses import dataclass

SIM = "DOCUMENT_TYPE_SIM"
"""A driving licence."""


@dataclass(frozen=True)
class ReadField:
    """Holds one field of a card as the engine read it."""

    value: str
    """In its standard form. Empty when the field was not found."""
    raw_value: str = ""
    """As recognized."""
    confidence: float = 0.0
    """From 0 to 1."""
    reason: str = ""
    """Why the value is what it is, by its name in the contract. Empty: not said."""
    polygon: tuple[tuple[float, float], ...] = ()
    """Outline of the text, as shares of the photo's width and height. Empty: not known."""


@dataclass(frozen=True)
class CardWarning:
    """Warns of something doubtful about a reading."""

    reason: str
    """UPPER_SNAKE."""
    field: str
    """Field in question. Empty when it is the whole card or its photo."""
    message: str
    """For the patient, in Indonesian."""
    message_en: str = ""
    """The same in English."""


@dataclass(frozen=True)
class Reading:
    """Holds what the engine read from a photo. Never changed."""

    document_type: str
    """Kind of card, by its name in the contract."""
    fields: Mapping[str, ReadField]
    """By name; only those that were found. See `licence` for those of a SIM."""
    warnings: tuple[CardWarning, ...] = ()

    def value(self, name: str) -> str:
        """Returns the value as read; empty when there is none."""
        found = self.fields.get(name)
        return "" if found is None else found.value

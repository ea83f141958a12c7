"""What may be written down: messages without personal fields, texts without long numbers."""

import re

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

__all__ = [
    "redact",
    "redact_text",
]

_LONG_NUMBER = re.compile(r"\d{12,}")
_TOKEN = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*")
HIDDEN = "[redacted]"


def redact_text(text: str) -> str:
    """Returns the text without numbers of 12 digits or more and without JSON Web Tokens."""
    return _TOKEN.sub(HIDDEN, _LONG_NUMBER.sub(HIDDEN, text))


def redact(message: Message) -> dict[str, object]:
    """Returns the set fields of a message, with those marked debug_redact hidden."""
    shown: dict[str, object] = {}
    for field, value in message.ListFields():
        if field.GetOptions().debug_redact:
            shown[field.name] = HIDDEN
        elif field.type != FieldDescriptor.TYPE_MESSAGE:
            shown[field.name] = redact_text(str(value))
        elif field.is_repeated:
            shown[field.name] = f"{len(value)} entries"
        else:
            shown[field.name] = redact(value)
    return shown

"""What the descriptors of the contracts tell of messages inside messages."""

from collections.abc import Callable

from google.protobuf.descriptor import Descriptor, FieldDescriptor

__all__ = [
    "has_field",
]


def has_field(message: Descriptor, matches: Callable[[FieldDescriptor], object]) -> bool:
    """Returns whether a field of a message, or of one inside it, however deep, is a match.

    Messages that hold themselves are looked through once.
    """
    seen: set[str] = set()
    waiting = [message]
    while waiting:
        found = waiting.pop()
        if found.full_name in seen:
            continue
        seen.add(found.full_name)
        if any(matches(field) for field in found.fields):
            return True
        waiting += [field.message_type for field in found.fields if field.message_type is not None]
    return False

"""Where the elements of the contracts stand in their sources, and the comments above them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import Message

PACKAGE = "mediq."
"""What the packages of our own contracts begin with."""


@dataclass(frozen=True)
class Element:
    """Describes a message, field, enum, value, service, method or extension of our contracts."""

    name: str
    """Full name; that of an enum value stands below its enum: package.Enum.VALUE."""
    file: str
    """Path below `protos/`."""
    line: int | None
    """Line of its first word, from 1; None when the file was compiled without source info."""
    comment: str
    """The comment above it on one line; empty where it has none."""


def ours(files: FileDescriptorSet) -> Iterator[FileDescriptorProto]:
    """Yields the files that are our own contracts, without what they import from elsewhere."""
    return (file for file in files.file if file.package.startswith(PACKAGE))


def _below(
    parent: str, path: tuple[int, ...], proto: Message
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yields the full name and the source path of each element below a file or an element."""
    for kind, children in proto.ListFields():
        named = kind.message_type is not None and "name" in kind.message_type.fields_by_name
        for index, child in enumerate(children if kind.is_repeated and named else ()):
            name, below = f"{parent}.{child.name}", (*path, kind.number, index)
            yield name, below
            yield from _below(name, below, child)


def elements(files: FileDescriptorSet) -> Iterator[Element]:
    """Yields every element of our own contracts, those inside others after them."""
    for file in ours(files):
        locations = {tuple(location.path): location for location in file.source_code_info.location}
        for name, path in _below(file.package, (), file):
            location = locations.get(path)
            if location is None:
                yield Element(name, file.name, None, "")
            else:
                comment = " ".join(location.leading_comments.split())
                yield Element(name, file.name, location.span[0] + 1, comment)

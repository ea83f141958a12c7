"""The photo in an uploaded body: the form around it, or the photo itself."""

import logging
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from mesh.errors import MeshError, StatusCode

MAX_IMAGE_BYTES = 10 * 1024 * 1024
"""As in ReadCardRequest."""
MAX_PARTS = 20
PHOTO_PARTS = (b"file", b"image")
"""Names under which forms send the photo."""
IMAGE_TYPES = (b"image/jpeg", b"image/png", b"image/webp")

# The parser logs every odd byte of a form, and raises for it as well.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


def _refused(reason: str, message: str) -> MeshError:
    return MeshError(message, StatusCode.INVALID_ARGUMENT, reason)


def _broken(message: str) -> MeshError:
    return _refused("BROKEN_MULTIPART", message)


@dataclass
class _Form:
    """Collects the photo parts of one form; the methods are the parser's callbacks."""

    photos: list[bytes] = field(default_factory=list)
    ended: bool = False
    _parts: int = 0
    _name: bytes = b""
    _value: bytes = b""
    _wanted: bool = False
    _pieces: list[bytes] = field(default_factory=list)

    def on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise _broken(f"the form has more than {MAX_PARTS} parts")
        self._wanted, self._pieces = False, []

    def on_header_begin(self) -> None:
        self._name, self._value = b"", b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            self._wanted = options.get(b"name") in PHOTO_PARTS

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._wanted:
            self._pieces.append(data[start:end])

    def on_part_end(self) -> None:
        if self._wanted:
            self.photos.append(b"".join(self._pieces))

    def on_end(self) -> None:
        self.ended = True


def _from_form(boundary: bytes, data: bytes) -> bytes:
    # Text that is a boundary but for its end costs the parser as much as a part.
    if not boundary or data.count(b"--" + boundary) > MAX_PARTS + 1:
        raise _broken("the form has no boundary, or its boundary is everywhere")
    form = _Form()
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": form.on_part_begin,
                "on_header_begin": form.on_header_begin,
                "on_header_field": form.on_header_field,
                "on_header_value": form.on_header_value,
                "on_header_end": form.on_header_end,
                "on_part_data": form.on_part_data,
                "on_part_end": form.on_part_end,
                "on_end": form.on_end,
            },
        )
        parser.write(data)
    except FormParserError as error:
        raise _broken("the form does not follow RFC 7578") from error
    if not form.ended:
        raise _broken("the form breaks off")
    if not form.photos:
        raise _refused("FILE_PART_MISSING", "send the photo in the part named file or image")
    if len(form.photos) > 1:
        raise _refused("SEVERAL_FILE_PARTS", "send one photo")
    return form.photos[0]


def photo_of(content_type: str, data: bytes) -> bytes:
    """Returns the photo in an uploaded body. Whether it is one, the engine says.

    Args:
        content_type: The body's content type, with its parameters.
        data: The body.

    Raises:
        MeshError: INVALID_ARGUMENT with EMPTY_UPLOAD, UNSUPPORTED_CONTENT_TYPE, BROKEN_MULTIPART,
            FILE_PART_MISSING, SEVERAL_FILE_PARTS or IMAGE_TOO_LARGE.
    """
    if not data:
        raise _refused("EMPTY_UPLOAD", "the body is empty: send a photo")
    try:
        kind, options = parse_options_header(content_type)
    except UnicodeEncodeError:
        kind, options = b"", {}
    if kind == b"multipart/form-data":
        photo = _from_form(options.get(b"boundary", b""), data)
    elif kind in IMAGE_TYPES:
        photo = data
    else:
        raise _refused(
            "UNSUPPORTED_CONTENT_TYPE",
            "send multipart/form-data, image/jpeg, image/png or image/webp",
        )
    if not photo:
        raise _refused("EMPTY_UPLOAD", "the photo is empty")
    if len(photo) > MAX_IMAGE_BYTES:
        raise _refused("IMAGE_TOO_LARGE", f"the photo has more than {MAX_IMAGE_BYTES // 2**20} MiB")
    return photo

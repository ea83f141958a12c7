"""Rules on messages, fields, enums and comments."""

from __future__ import annotations

import re
from collections.abc import Iterator

from buf.validate.validate_pb2 import FieldRules
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from tools.contract_lint.contracts import SOURCES, Contracts, is_personal, reachable, rules_of
from tools.contract_lint.rules import each_enum, each_field, each_request_field, whole

PERSONAL = re.compile(
    r"nik|masked_nik|nama|email|(?!page_|next_page_).*token|.*password|image|document"
    r"|tempat_lahir|tanggal_lahir|jenis_kelamin|golongan_darah|alamat|rt_rw|kel_desa|kecamatan"
    r"|agama|status_perkawinan|pekerjaan|kewarganegaraan|berlaku_hingga|provinsi|kota"
    r"|tempat_terbit|tanggal_terbit|nomor_sim|golongan|wilayah|images"
    r"|read_value|corrected_value|raw_value|value|ktp|sim|identity|draft|session|corrections"
)
"""Names of fields that hold what a card says, a secret, or a message of those."""
TIMESTAMP = "google.protobuf.Timestamp"
OTHER_TIMES = re.compile(r"(_at|_date|timestamp|epoch)$")
"""Ends of names for times that are not ours."""
INTEGERS = frozenset(
    {
        FieldDescriptor.CPPTYPE_INT32,
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT32,
        FieldDescriptor.CPPTYPE_UINT64,
    }
)
LARGEST_PAGE = 200
EVENTS = ("mediq.queue.v1.TicketEvent",)
"""Messages that go to the broker, where whoever has a queue reads them."""


@whole
def elements_have_a_comment(contracts: Contracts) -> Iterator[tuple[str, str]]:
    """Demands a sentence for everything, because it is what the API documents say of it."""
    with_sources = {one.file for one in contracts.elements.values() if one.line is not None}
    for file in sorted({one.file for one in contracts.elements.values()} - with_sources):
        yield f"{SOURCES}/{file}", "is compiled without source info, where the comments are"
    for name, element in contracts.elements.items():
        written = element.file in with_sources and not name.rpartition(".")[2].startswith("_")
        if written and not element.comment.endswith("."):
            yield name, "has no comment that ends with a full stop"


@each_field
def personal_fields_are_redacted(field: FieldDescriptor) -> Iterator[str]:
    """Demands debug_redact of personal data and secrets: logs leave out only what has it."""
    if PERSONAL.fullmatch(field.name) and not is_personal(field):
        yield "holds personal data or a secret by its name and has not debug_redact"


@whole
def events_carry_no_personal_data(contracts: Contracts) -> Iterator[tuple[str, str]]:
    """Refuses personal data in events: they stay in queues of others for as long as those like."""
    for name in EVENTS:
        if name not in contracts.messages:
            yield SOURCES, f"there is no event {name}"
    roots = [contracts.messages[name] for name in EVENTS if name in contracts.messages]
    for message in reachable(roots).values():
        for field in message.fields:
            if is_personal(field):
                yield field.full_name, "is personal data in an event"


@each_field
def times_are_timestamps(field: FieldDescriptor) -> Iterator[str]:
    """Demands one type and one ending for times, so that nobody guesses units and zones."""
    named = field.name.endswith("_time")
    is_timestamp = field.message_type is not None and field.message_type.full_name == TIMESTAMP
    if named and not is_timestamp:
        yield "has a name that ends with _time and is no Timestamp"
    if is_timestamp and not named:
        yield "is a Timestamp and has a name that does not end with _time"
    if OTHER_TIMES.search(field.name):
        yield "has the name of a time that does not end with _time"


@each_field
def json_names_are_camel_case(field: FieldDescriptor) -> Iterator[str]:
    """Refuses JSON names of one's own: clients in every language derive them from the field's."""
    first, *words = field.name.split("_")
    if field.json_name != first + "".join(word.capitalize() for word in words):
        yield f"is called {field.json_name} in JSON"


@each_enum
def enums_begin_with_unspecified(enum: EnumDescriptor) -> Iterator[str]:
    """Demands a zero that means nothing: it is what an old client reads for an absent value."""
    value = enum.values_by_number.get(0)
    if value is None or value.name != f"{_prefix(enum)}UNSPECIFIED":
        yield f"has no value {_prefix(enum)}UNSPECIFIED = 0"


@each_enum
def enum_values_have_the_prefix(enum: EnumDescriptor) -> Iterator[str]:
    """Demands the enum's name before its values, because C++ and Go put them into one scope."""
    for value in enum.values:
        if not value.name.startswith(_prefix(enum)):
            yield f"has the value {value.name}, which does not begin with {_prefix(enum)}"


def _prefix(enum: EnumDescriptor) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", enum.name).upper() + "_"


def _bounded(field: FieldDescriptor, rules: FieldRules) -> bool:
    """Tells whether the rules bound a value; messages are bounded by their own fields."""
    if field.type == FieldDescriptor.TYPE_STRING:
        text = rules.string
        closed = text.pattern.startswith("^") and text.pattern.endswith("$")
        return bool(text.max_len or text.uuid or closed or getattr(text, "in"))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return bool(rules.bytes.max_len)
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return bool(rules.enum.defined_only or getattr(rules.enum, "in"))
    if field.cpp_type in INTEGERS:
        kind = rules.WhichOneof("type")
        return kind is not None and getattr(rules, kind).HasField("lte")
    return True


@each_request_field
def request_fields_are_bounded(field: FieldDescriptor) -> Iterator[str]:
    """Demands a bound of all that callers fill: a text without one ends in a database column."""
    rules = rules_of(field)
    if field.is_repeated:
        if not rules.repeated.max_items:
            yield "is repeated and has no max_items"
        rules = rules.repeated.items
    if not _bounded(field, rules):
        yield "is filled by callers and has no bound"


@each_request_field
def identifiers_are_uuids(field: FieldDescriptor) -> Iterator[str]:
    """Demands UUIDs of identifiers: nobody can guess the next one, and all stores take them."""
    if (field.name == "id" or field.name.endswith("_id")) and not rules_of(field).string.uuid:
        yield "is an identifier and no UUID"


@each_request_field
def pages_are_bounded(field: FieldDescriptor) -> Iterator[str]:
    """Demands a page_size from 0 to a largest one: a page is read into memory as a whole."""
    if field.name == "page_size":
        rules = rules_of(field).int32
        if not (rules.HasField("gte") and rules.gte == 0 and 0 < rules.lte <= LARGEST_PAGE):
            yield f"is not held between 0 and a largest page of at most {LARGEST_PAGE}"

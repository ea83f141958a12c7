"""The rules that every message, field and enum of the contracts keeps."""

import re
from collections.abc import Callable, Iterator

import pytest
from buf.validate.validate_pb2 import FieldRules
from buf.validate.validate_pb2 import field as field_rules
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from mediq.queue.v1.event_pb2 import TicketEvent

from mesh.contract.methods import methods
from tools.openapi_schemas import comments

FieldRule = Callable[[FieldDescriptor], None]
PERSONAL = re.compile(
    r"nik|masked_nik|nama|email|(?!page_|next_page_).*token|.*password|image|document"
    r"|tempat_lahir|tanggal_lahir|jenis_kelamin|golongan_darah|alamat|rt_rw|kel_desa|kecamatan"
    r"|agama|status_perkawinan|pekerjaan|kewarganegaraan|berlaku_hingga|provinsi|kota"
    r"|tempat_terbit|tanggal_terbit|nomor_sim|golongan|wilayah|images"
    r"|read_value|corrected_value|raw_value|value|ktp|sim|identity|draft|session|corrections"
)
"""Names of fields that hold what a card says, a secret, or a message of those."""
DOCUMENT_BODY = "google.api.HttpBody"
"""A raw body: bounded by the edge and by the server's message size."""
LARGEST_PAGE = 200


def messages(*roots: Descriptor) -> dict[str, Descriptor]:
    """Messages of ours that can be reached from `roots`."""
    found: dict[str, Descriptor] = {}
    waiting = list(roots)
    while waiting:
        message = waiting.pop()
        if message.full_name not in found and message.file.package.startswith("mediq."):
            found[message.full_name] = message
            waiting += [f.message_type for f in message.fields if f.message_type is not None]
    return found


REQUESTS = messages(*(method.input for method in methods().values()))
ALL = messages(
    *(method.input for method in methods().values()),
    *(method.descriptor.output_type for method in methods().values()),
    TicketEvent.DESCRIPTOR,
)
REQUEST_FIELDS = [field for message in REQUESTS.values() for field in message.fields]
FIELDS = [field for message in ALL.values() for field in message.fields]
ENUMS = {f.enum_type.full_name: f.enum_type for f in FIELDS if f.enum_type is not None}

each_field = pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.full_name)
each_request_field = pytest.mark.parametrize(
    "field", REQUEST_FIELDS, ids=lambda field: field.full_name
)


def rules_of(field: FieldDescriptor) -> FieldRules:
    """The validation rules of a field."""
    rules: FieldRules = field.GetOptions().Extensions[field_rules]
    return rules


def is_a(field: FieldDescriptor, name: str) -> bool:
    """Whether a field holds a message of this type."""
    return field.message_type is not None and field.message_type.full_name == name


@pytest.mark.parametrize(
    "element", [name for name in comments() if not name.rpartition(".")[2].startswith("_")]
)
def test_every_element_has_a_comment(element: str) -> None:
    assert comments()[element].endswith(".")


@each_field
def test_personal_fields_are_redacted(field: FieldDescriptor) -> None:
    if PERSONAL.fullmatch(field.name):
        assert field.GetOptions().debug_redact


@pytest.mark.parametrize("message", messages(TicketEvent.DESCRIPTOR).values())
def test_events_carry_no_personal_data(message: Descriptor) -> None:
    assert not [field.name for field in message.fields if field.GetOptions().debug_redact]


@each_field
def test_times_are_timestamps_named_time(field: FieldDescriptor) -> None:
    named = field.name.endswith("_time")
    assert named == is_a(field, "google.protobuf.Timestamp")
    assert not re.search(r"(_at|_date|timestamp|epoch)$", field.name)


@each_field
def test_json_names_are_camel_case(field: FieldDescriptor) -> None:
    first, *words = field.name.split("_")
    assert field.json_name == first + "".join(word.capitalize() for word in words)


@pytest.mark.parametrize("enum", ENUMS.values(), ids=lambda enum: enum.name)
def test_enums_begin_with_unspecified_and_have_their_prefix(enum: EnumDescriptor) -> None:
    prefix = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", enum.name).upper()
    assert enum.values_by_number[0].name == f"{prefix}_UNSPECIFIED"
    assert all(value.name.startswith(f"{prefix}_") for value in enum.values)


def _bounded(field: FieldDescriptor, rules: FieldRules) -> bool:
    if field.type == FieldDescriptor.TYPE_STRING:
        text = rules.string
        closed = text.pattern.startswith("^") and text.pattern.endswith("$")
        return bool(text.max_len or text.uuid or closed or getattr(text, "in"))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return bool(rules.bytes.max_len)
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return bool(rules.enum.defined_only or getattr(rules.enum, "in"))
    if field.cpp_type == FieldDescriptor.CPPTYPE_INT32:
        return rules.int32.HasField("lte")
    return True


@each_request_field
def test_request_fields_are_bounded(field: FieldDescriptor) -> None:
    if field.is_repeated:
        assert rules_of(field).repeated.max_items
        assert _bounded(field, rules_of(field).repeated.items)
    elif not is_a(field, DOCUMENT_BODY):
        assert _bounded(field, rules_of(field))


@each_request_field
def test_identifiers_are_uuids(field: FieldDescriptor) -> None:
    if field.name == "id" or field.name.endswith("_id"):
        assert rules_of(field).string.uuid


@each_request_field
def test_pages_are_bounded(field: FieldDescriptor) -> None:
    if field.name == "page_size":
        assert rules_of(field).int32.gte == 0
        assert 0 < rules_of(field).int32.lte <= LARGEST_PAGE


def _broken() -> Iterator[tuple[FieldRule, FieldDescriptor]]:
    """A field for each rule that it breaks, in a message that is built here."""
    kinds = FieldDescriptorProto
    breaks = [
        (test_personal_fields_are_redacted, "nik", kinds.TYPE_STRING, None),
        (test_personal_fields_are_redacted, "access_token", kinds.TYPE_STRING, None),
        (test_times_are_timestamps_named_time, "create_time", kinds.TYPE_STRING, None),
        (test_times_are_timestamps_named_time, "created_at", kinds.TYPE_INT64, None),
        (test_request_fields_are_bounded, "note", kinds.TYPE_STRING, None),
        (test_request_fields_are_bounded, "photo", kinds.TYPE_BYTES, None),
        (test_request_fields_are_bounded, "notes", kinds.TYPE_STRING, kinds.LABEL_REPEATED),
        (test_identifiers_are_uuids, "ticket_id", kinds.TYPE_STRING, None),
        (test_pages_are_bounded, "page_size", kinds.TYPE_INT32, None),
    ]
    file = FileDescriptorProto(name="broken.proto", package="mediq.broken.v1", syntax="proto3")
    message = file.message_type.add(name="Broken")
    for number, (_, name, kind, label) in enumerate(breaks, start=1):
        message.field.add(name=name, number=number, type=kind, label=label or kinds.LABEL_OPTIONAL)
    pool = DescriptorPool()
    pool.Add(file)
    fields = pool.FindMessageTypeByName("mediq.broken.v1.Broken").fields_by_name
    for rule, name, _, _ in breaks:
        yield rule, fields[name]


@pytest.mark.parametrize(
    ("rule", "field"),
    list(_broken()),
    ids=lambda part: part.__name__ if callable(part) else part.name,
)
def test_a_broken_field_is_found(rule: FieldRule, field: FieldDescriptor) -> None:
    with pytest.raises(AssertionError):
        rule(field)

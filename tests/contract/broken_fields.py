"""Contracts with broken messages, fields, enums and comments."""

from buf.validate.validate_pb2 import (
    BytesRules,
    FieldRules,
    Int32Rules,
    RepeatedRules,
    StringRules,
)
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from tests.contract.broken import (
    Broken,
    Change,
    Draft,
    add_field,
    change_rules,
    rename,
    together,
)

Kind = FieldDescriptorProto
QUEUE = "mediq.queue.v1"
REQUEST = f"{QUEUE}.CancelTicketRequest"
SERVICE_FILE = "protos/mediq/queue/v1/ticket_service.proto"
QUEUE_FILE = "protos/mediq/queue/v1/queue.proto"
TICKET = f"{QUEUE}.Ticket"
UUID = FieldRules(string=StringRules(uuid=True))


def show(full_name: str) -> Change:
    """Takes debug_redact from a field."""

    def change(draft: Draft) -> None:
        draft.field(full_name).options.debug_redact = False

    return change


def redact(full_name: str) -> Change:
    """Gives a field debug_redact."""

    def change(draft: Draft) -> None:
        draft.field(full_name).options.debug_redact = True

    return change


def change_comment(file: str, old: str, new: str) -> Change:
    """Replaces one comment."""

    def change(draft: Draft) -> None:
        locations = draft.file(file).source_code_info.location
        found = [one for one in locations if one.leading_comments.strip() == old]
        assert len(found) == 1
        found[0].leading_comments = new

    return change


def remove_source_info(draft: Draft) -> None:
    draft.file("mediq/queue/v1/queue.proto").ClearField("source_code_info")


def rename_value(enum: str, number: int, name: str) -> Change:
    """Gives a value of an enum another name."""

    def change(draft: Draft) -> None:
        draft.enum(enum).value[number].name = name

    return change


def change_json_name(draft: Draft) -> None:
    draft.field(f"{TICKET}.counter_name").json_name = "counter"


def rename_event(draft: Draft) -> None:
    """Gives the event another name everywhere."""
    for file in draft.files.file:
        for message in file.message_type:
            if file.package == QUEUE and message.name == "TicketEvent":
                message.name = "Happening"
            for field in message.field:
                if field.type_name == f".{QUEUE}.TicketEvent":
                    field.type_name = f".{QUEUE}.Happening"


def added_to_a_request(
    word: str,
    name: str,
    kind: Kind.Type.ValueType,
    *,
    repeated: bool = False,
    type_name: str = "",
    rules: FieldRules | None = None,
) -> Broken:
    """A field that is not bounded."""
    change = add_field(REQUEST, name, kind, repeated=repeated, type_name=type_name, rules=rules)
    return Broken("REQUEST_FIELDS_ARE_BOUNDED", SERVICE_FILE, change, f"{REQUEST}.{name} {word}")


NO_BOUND, NO_ITEMS = "is filled by callers and has no bound", "is repeated and has no max_items"
BROKEN = [
    Broken(
        "ELEMENTS_HAVE_A_COMMENT",
        "GetTicketPosition",
        change_comment(
            "mediq/queue/v1/ticket_service.proto",
            "Gets the position of a ticket and the last number called.",
            "Gets the position of a ticket and the last number called",
        ),
    ),
    Broken(
        "ELEMENTS_HAVE_A_COMMENT",
        f"{QUEUE}.Priority",
        change_comment("mediq/queue/v1/queue.proto", "Priority of a ticket.", ""),
        f"{QUEUE}.Priority ",
    ),
    Broken(
        "ELEMENTS_HAVE_A_COMMENT",
        f"{QUEUE}.Priority.PRIORITY_NORMAL",
        change_comment("mediq/queue/v1/queue.proto", "The usual priority.", ""),
        f"{QUEUE}.Priority.PRIORITY_NORMAL ",
    ),
    Broken("ELEMENTS_HAVE_A_COMMENT", QUEUE_FILE, remove_source_info, "without source info"),
    Broken(
        "PERSONAL_FIELDS_ARE_REDACTED",
        "mediq.user.v1.LoginUserRequest.nik",
        show("mediq.user.v1.LoginUserRequest.nik"),
    ),
    Broken(
        "PERSONAL_FIELDS_ARE_REDACTED",
        "mediq.user.v1.TokenPair.access_token",
        show("mediq.user.v1.TokenPair.access_token"),
    ),
    Broken(
        "PERSONAL_FIELDS_ARE_REDACTED",
        QUEUE_FILE,
        add_field(TICKET, "nik"),
        f"{TICKET}.nik",
    ),
    Broken(
        "EVENTS_CARRY_NO_PERSONAL_DATA",
        f"{QUEUE}.TicketEvent.number",
        redact(f"{QUEUE}.TicketEvent.number"),
    ),
    Broken(
        "EVENTS_CARRY_NO_PERSONAL_DATA",
        f"{QUEUE}.Ticket.number",
        together(
            redact(f"{TICKET}.number"),
            add_field(
                f"{QUEUE}.TicketEvent", "ticket", Kind.TYPE_MESSAGE, type_name=f".{QUEUE}.Ticket"
            ),
        ),
    ),
    Broken(
        "EVENTS_CARRY_NO_PERSONAL_DATA", "protos", rename_event, f"no event {QUEUE}.TicketEvent"
    ),
    Broken(
        "TIMES_ARE_TIMESTAMPS",
        QUEUE_FILE,
        add_field(TICKET, "hear_time"),
        f"{TICKET}.hear_time",
    ),
    Broken(
        "TIMES_ARE_TIMESTAMPS",
        f"{QUEUE}.TicketEvent.occur_time",
        rename(f"{QUEUE}.TicketEvent.occur_time", "occurred"),
        f"{QUEUE}.TicketEvent.occurred",
    ),
    *(
        Broken(
            "TIMES_ARE_TIMESTAMPS",
            QUEUE_FILE,
            add_field(TICKET, name, Kind.TYPE_INT64),
            f"{TICKET}.{name}",
        )
        for name in ("created_at", "birth_date", "epoch")
    ),
    Broken("JSON_NAMES_ARE_CAMEL_CASE", f"{TICKET}.counter_name", change_json_name),
    Broken(
        "ENUMS_BEGIN_WITH_UNSPECIFIED",
        f"{QUEUE}.Priority",
        rename_value(f"{QUEUE}.Priority", 0, "PRIORITY_NONE"),
    ),
    Broken(
        "ENUM_VALUES_HAVE_THE_PREFIX",
        f"{QUEUE}.Priority",
        rename_value(f"{QUEUE}.Priority", 1, "LOW"),
        "LOW",
    ),
    Broken(
        "REQUEST_FIELDS_ARE_BOUNDED",
        f"{REQUEST}.reason",
        change_rules(f"{REQUEST}.reason"),
        NO_BOUND,
    ),
    added_to_a_request(NO_BOUND, "note", Kind.TYPE_STRING),
    added_to_a_request(
        NO_BOUND,
        "word",
        Kind.TYPE_STRING,
        rules=FieldRules(string=StringRules(pattern="^[a-z]+")),
    ),
    added_to_a_request(NO_BOUND, "photo", Kind.TYPE_BYTES),
    added_to_a_request(
        NO_BOUND, "picture", Kind.TYPE_BYTES, rules=FieldRules(bytes=BytesRules(min_len=1))
    ),
    added_to_a_request(NO_BOUND, "kind", Kind.TYPE_ENUM, type_name=f".{QUEUE}.Priority"),
    added_to_a_request(
        NO_BOUND, "minutes", Kind.TYPE_INT32, rules=FieldRules(int32=Int32Rules(gte=0))
    ),
    added_to_a_request(NO_BOUND, "count", Kind.TYPE_UINT64),
    added_to_a_request(
        NO_ITEMS,
        "notes",
        Kind.TYPE_STRING,
        repeated=True,
        rules=FieldRules(repeated=RepeatedRules(items=UUID)),
    ),
    added_to_a_request(
        NO_BOUND,
        "lines",
        Kind.TYPE_STRING,
        repeated=True,
        rules=FieldRules(repeated=RepeatedRules(max_items=3)),
    ),
    Broken(
        "IDENTIFIERS_ARE_UUIDS",
        f"{QUEUE}.GetTicketRequest.id",
        change_rules(f"{QUEUE}.GetTicketRequest.id"),
    ),
    Broken(
        "IDENTIFIERS_ARE_UUIDS",
        SERVICE_FILE,
        add_field(REQUEST, "ticket_id"),
        f"{REQUEST}.ticket_id",
    ),
    *(
        Broken(
            "PAGES_ARE_BOUNDED",
            f"{QUEUE}.ListTicketsRequest.page_size",
            change_rules(f"{QUEUE}.ListTicketsRequest.page_size", rules),
        )
        for rules in (
            None,
            FieldRules(int32=Int32Rules(gte=0, lte=201)),
            FieldRules(int32=Int32Rules(gte=-1, lte=200)),
            FieldRules(int32=Int32Rules(lte=200)),
        )
    ),
]

"""Identifiers have one spelling behind the pipeline."""

from uuid import uuid4

from google.protobuf.message_factory import GetMessageClass
from mediq.audit.v1 import audit_service_pb2 as audit
from mediq.audit.v1.audit_pb2 import AuditEvent
from mediq.policy.v1.policy_pb2 import AuditField, audit_field
from mediq.queue.v1 import ticket_service_pb2 as tickets

from mesh.contract.identifiers import is_identifier, normalize_identifiers
from mesh.contract.methods import methods

ID = "0B6A2C1E-7D4F-4E0A-9C3B-AAAAAAAAAAAA"


def test_an_identifier_is_lower_cased_in_place() -> None:
    request = tickets.GetTicketRequest(id=ID)
    normalize_identifiers(request)
    assert request.id == ID.lower()


def test_text_that_is_no_identifier_keeps_its_case() -> None:
    request = tickets.CreateTicketRequest(institution_id=ID, priority_reason="Ibu HAMIL")
    normalize_identifiers(request)
    assert (request.institution_id, request.priority_reason) == (ID.lower(), "Ibu HAMIL")


def test_what_is_unset_stays_unset() -> None:
    for method in methods().values():
        request = GetMessageClass(method.input)()
        normalize_identifiers(request)
        assert not request.ListFields(), method.path


def test_identifiers_inside_of_lists_and_messages_are_lower_cased() -> None:
    event = AuditEvent(id=ID, person_ids=[ID, ID])
    event.actor.id = ID
    request = audit.AppendAuditEventsRequest(events=[event, event])
    normalize_identifiers(request)
    for one in request.events:
        assert {one.id, one.actor.id, *one.person_ids} == {ID.lower()}


def test_a_message_with_the_one_spelling_is_left_as_it_is() -> None:
    request = tickets.GetTicketRequest(id=str(uuid4()))
    before = request.SerializeToString()
    normalize_identifiers(request)
    assert request.SerializeToString() == before


def test_what_a_request_tells_the_audit_trail_is_normalised() -> None:
    named = 0
    for method in methods().values():
        for field in method.input.fields:
            kind = field.GetOptions().Extensions[audit_field]
            if kind not in (AuditField.AUDIT_FIELD_UNSPECIFIED, AuditField.AUDIT_FIELD_REASON):
                assert is_identifier(field), field.full_name
                named += 1
    assert named > 0

"""Rules on what the audit trail keeps."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from mediq.policy.v1.policy_pb2 import AuditClass, AuditField, audit_field

from mesh.contract.methods import Method
from tools.contract_lint.contracts import is_personal, reachable
from tools.contract_lint.exceptions import CHANGES_WITHOUT_AUDIT, PERSONAL_WITHOUT_AUDIT
from tools.contract_lint.rules import each_method


def _tells_of_a_person(field: FieldDescriptor) -> bool:
    """Tells whether a field holds personal data or names whose they are."""
    named: AuditField.ValueType = field.GetOptions().Extensions[audit_field]
    return is_personal(field) or named == AuditField.AUDIT_FIELD_PERSON


def _shown(method: Method) -> Iterator[Descriptor]:
    """Yields the request and the answer of a method, with the messages inside."""
    yield from reachable([method.input, method.descriptor.output_type]).values()


@each_method()
def audit_is_stated(method: Method) -> Iterator[str]:
    """Demands to know what the trail keeps: no server starts with a method that is silent."""
    if method.policy.audit == AuditClass.AUDIT_CLASS_UNSPECIFIED:
        yield "states no audit"


@each_method(PERSONAL_WITHOUT_AUDIT)
def what_tells_of_persons_is_audited(method: Method) -> Iterator[str]:
    """Demands an entry for whoever saw or gave personal data: people have a right to see it."""
    tells = any(_tells_of_a_person(field) for message in _shown(method) for field in message.fields)
    if tells and method.policy.audit == AuditClass.AUDIT_CLASS_NONE:
        yield "tells of persons and leaves nothing in the audit trail"


@each_method(CHANGES_WITHOUT_AUDIT)
def changes_are_audited_with_their_effect(method: Method) -> Iterator[str]:
    """Demands AUDIT_CLASS_CHANGE of changes: only that is written in their transaction."""
    if method.mutating and method.policy.audit != AuditClass.AUDIT_CLASS_CHANGE:
        yield "changes something and its audit is not AUDIT_CLASS_CHANGE"

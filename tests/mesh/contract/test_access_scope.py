"""What exists for a caller."""

from mediq.policy.v1.policy_pb2 import Role, Scope

from mesh.contract.access_scope import AccessScope
from mesh.contract.call import Principal


def test_a_role_without_a_facility_sees_nothing() -> None:
    def who(role: Role.ValueType, scope: Scope.ValueType, institution_id: str) -> Principal:
        return Principal("me", role, scope, institution_id, "s", 0.0)

    nothing, none = Role.ROLE_UNSPECIFIED, Scope.SCOPE_UNSPECIFIED
    assert AccessScope.of(who(Role.ROLE_OPERATOR, none, "")) == AccessScope(institution_id="")
    assert AccessScope.of(who(Role.ROLE_OPERATOR, none, "f")) == AccessScope(institution_id="f")
    assert AccessScope.of(who(Role.ROLE_ADMIN_FASKES, none, "")) == AccessScope()
    assert AccessScope.of(who(Role.ROLE_PASIEN, none, "")) == AccessScope(account_id="me")
    assert AccessScope.of(who(nothing, Scope.SCOPE_TICKETS, "")) == AccessScope(account_id="me")
    assert AccessScope.of(who(nothing, none, "")) == AccessScope(account_id="me")


def test_a_scope_covers_what_belongs_to_its_facility_and_account() -> None:
    assert AccessScope().covers("f", "me")
    assert AccessScope(institution_id="f").covers("f", "me")
    assert not AccessScope(institution_id="f").covers("g", "me")
    assert AccessScope(account_id="me").covers("f", "me")
    assert not AccessScope(account_id="me").covers("f", "you")
    assert not AccessScope(institution_id="").covers("f", "me")

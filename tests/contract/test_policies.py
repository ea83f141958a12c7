"""A method without a policy is not served; the rules on policies are in tools/contract_lint."""

from dataclasses import replace

import pytest
from mediq.policy.v1.policy_pb2 import Policy

from mesh.contract.authorization import require_policy
from mesh.contract.methods import methods


def test_a_method_without_policy_cannot_be_registered() -> None:
    whole = next(iter(methods().values()))
    bare = replace(whole, policy=Policy())
    with pytest.raises(LookupError):
        require_policy({bare.path: bare}, bare.path)
    with pytest.raises(LookupError):
        require_policy(dict(methods()), "/mediq.queue.v1.TicketService/Unknown")

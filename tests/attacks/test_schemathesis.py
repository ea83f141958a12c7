"""The REST interface is fuzzed with what its own OpenAPI document says and forbids."""

from __future__ import annotations

from typing import Any, TypeAlias

import hypothesis
import pytest
import schemathesis
from schemathesis import AuthContext, BaseSchema, Case, GenerationMode, HookContext

from tests.attacks.doors import DOCUMENT
from tests.attacks.world import World

pytestmark = [pytest.mark.model, pytest.mark.timeout(120)]
SPECIFIED: dict[str, Any] = DOCUMENT["paths"]
OPERATIONS = [
    (verb, path) for path, verbs in SPECIFIED.items() for verb in verbs if "/live" not in path
]
"""Every route but those of streams, which do not end."""
SEED = 2027
EXAMPLES = 10
AnyCase: TypeAlias = "Case[Any]"
LEFT_OUT = [
    # Another verb is another route, and a route that does not exist is a 404: e2e/test_main_job.py.
    schemathesis.checks.unsupported_method,
    # Some rules need more than one field, such as that an urgent ticket has a reason; their 400 is
    # documented, and a schema cannot say when it comes.
    schemathesis.checks.positive_data_acceptance,
]
"""Checks of schemathesis that the interface does not keep, on purpose."""


def holds_null(value: Any) -> bool:
    """Whether there is a null in a value, however deep."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is None or any(holds_null(one) for one in inner)


def empty_for_nothing(context: HookContext, values: Any) -> bool:
    """Whether a field that may be absent is empty."""
    assert context.operation is not None
    operation = SPECIFIED[context.operation.path][context.operation.method.lower()]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    required = {*body.get("schema", {}).get("required", ())}
    required |= {one["name"] for one in operation.get("parameters", ()) if one["required"]}
    return isinstance(values, dict) and any(
        value == "" and name not in required for name, value in values.items()
    )


@pytest.fixture(scope="module")
def interface(world: World) -> BaseSchema:
    """The document, at the address of the running mesh."""
    found = schemathesis.openapi.from_dict(DOCUMENT)
    found.config.update(base_url=world.running.url)
    found.config.seed = SEED

    @found.auth()
    class Administrator:
        """The administrator of the network, who reaches every handler."""

        def get(self, case: AnyCase, context: AuthContext) -> str:
            return world.network.headers["authorization"]

        def set(self, case: AnyCase, data: str, context: AuthContext) -> None:
            case.headers["Authorization"] = data

    # An empty value is the same as an absent one, and so is null: the document says so in words.

    @found.hook
    def filter_body(context: HookContext, body: Any) -> bool:
        return not holds_null(body) and not empty_for_nothing(context, body)

    @found.hook
    def filter_query(context: HookContext, query: Any) -> bool:
        return not empty_for_nothing(context, query)

    return found


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize(("verb", "path"), OPERATIONS)
def test_every_route_keeps_what_the_document_says(
    interface: BaseSchema, verb: str, path: str, mode: GenerationMode
) -> None:
    operation = interface[path][verb]
    takes = SPECIFIED[path][verb]
    if mode is GenerationMode.NEGATIVE and not {"parameters", "requestBody"} & set(takes):
        return  # There is nothing that could be wrong.

    @hypothesis.settings(max_examples=EXAMPLES, derandomize=True, database=None, deadline=None)
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def check(case: AnyCase) -> None:
        case.call_and_validate(excluded_checks=LEFT_OUT)

    check()

"""The REST interface is fuzzed with what its own OpenAPI document says and forbids."""

from __future__ import annotations

from typing import Any, TypeAlias

import hypothesis
import pytest
import schemathesis
from schemathesis import AuthContext, BaseSchema, Case, GenerationMode, HookContext

from tests.attacks.doors import DOCUMENT
from tests.attacks.world import World
from tests.support.runs.depth import DEPTH

pytestmark = pytest.mark.model
SPECIFIED: dict[str, Any] = DOCUMENT["paths"]
OPERATIONS = [
    (verb, path) for path, verbs in SPECIFIED.items() for verb in verbs if "/live" not in path
]
"""Every route but those of streams, which do not end."""
SEED = 2027
EXAMPLES = 2 * DEPTH
"""Of each route and mode. The limits of every value are tried anyway, without chance."""
AnyCase: TypeAlias = "Case[Any]"
VERBS = {"delete", "get", "options", "patch", "post", "put", "trace"}
"""Without QUERY, which Envoy refuses before it looks at the path: it is not in its parser."""
BEYOND_SCHEMAS = {
    # A value that looks right: the 31st of June, digits that make no NIK, a picture of nothing.
    "DAY_INVALID",
    "NIK_INVALID",
    "NO_CARD",
    "PAGE_TOKEN_INVALID",
    "PASSWORD_COMMON",
    "TIME_INVALID",
    # Values that do not go together: an end before its start, a NIK for a member of staff.
    "EMAIL_NOT_ALLOWED",
    "EMAIL_REQUIRED",
    "HOURS_INVALID",
    "NIK_NOT_ALLOWED",
    "PASSWORD_NOT_ALLOWED",
    "PATIENT_REQUIRED",
    "RATES_INVALID",
    "TIME_RANGE_INVALID",
}
"""Reasons of a 400 for what the document allows, because a schema cannot say it."""


def no_field(value: Any) -> bool:
    """Whether there is a null in a value, or a field without a name, however deep."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    unnamed = isinstance(value, dict) and "" in value
    return value is None or unnamed or any(no_field(one) for one in inner)


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
    found.config.phases.coverage.unexpected_methods = VERBS

    @found.auth()
    class Administrator:
        """The administrator of the network, who reaches every handler."""

        def get(self, case: AnyCase, context: AuthContext) -> str:
            return world.network.headers["authorization"]

        def set(self, case: AnyCase, data: str, context: AuthContext) -> None:
            case.headers["Authorization"] = data

    # The document says in words that an empty value is the same as an absent one, and so is null,
    # and that every field has a name.

    @found.hook
    def filter_body(context: HookContext, body: Any) -> bool:
        return not no_field(body) and not empty_for_nothing(context, body)

    @found.hook
    def filter_query(context: HookContext, query: Any) -> bool:
        return not empty_for_nothing(context, query)

    return found


def validate(case: AnyCase) -> None:
    """Sends a case, and looks at the answer with all checks of schemathesis."""
    response = case.call()
    beyond = (
        response.status_code == 400 and response.json()["details"][0]["reason"] in BEYOND_SCHEMAS
    )
    left_out = [schemathesis.checks.positive_data_acceptance] if beyond else []
    case.validate_response(response, excluded_checks=left_out)


@pytest.mark.deep
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
        validate(case)

    check()


@pytest.mark.parametrize(("verb", "path"), OPERATIONS)
def test_every_route_keeps_its_limits(interface: BaseSchema, verb: str, path: str) -> None:
    """Each value at and beyond its limits, each part left out, each verb that is not there."""
    operation = interface[path][verb]
    cases = interface.iter_coverage_cases(
        operation,
        generation_modes=list(GenerationMode),
        generation_config=interface.config.generation_for(operation=operation, phase="coverage"),
    )
    for case in cases:
        validate(case)

"""The OpenAPI document: valid, complete, and true to the contracts and the edge."""

import json
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from mesh.contract.methods import HttpRule, Method, methods
from tools.generation import openapi

DOCUMENT: dict[str, Any] = openapi.document()
OPERATIONS = {
    f"{verb.upper()} {path}": operation
    for path, verbs in DOCUMENT["paths"].items()
    for verb, operation in verbs.items()
}
ROUTES = [(method, rule) for method in methods().values() for rule in method.rules]

each_route = pytest.mark.parametrize(
    ("method", "rule"), ROUTES, ids=[f"{rule.verb} {rule.path}" for _, rule in ROUTES]
)


def body(route: str) -> dict[str, Any]:
    """The JSON schema of a request body."""
    schema: dict[str, Any] = OPERATIONS[route]["requestBody"]["content"]["application/json"][
        "schema"
    ]
    return schema


def test_it_is_valid_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_it_is_the_same_at_every_call() -> None:
    assert openapi.render() == openapi.render()
    assert json.loads(openapi.render()) == DOCUMENT
    assert openapi.render().endswith("}\n")


def test_it_has_every_route_and_no_other() -> None:
    assert set(OPERATIONS) == {f"{rule.verb} {rule.path}" for _, rule in ROUTES}


def test_operation_identifiers_are_unique() -> None:
    assert len({operation["operationId"] for operation in OPERATIONS.values()}) == len(OPERATIONS)


@each_route
def test_every_request_field_has_one_place(method: Method, rule: HttpRule) -> None:
    operation = OPERATIONS[f"{rule.verb} {rule.path}"]
    places = [parameter["name"] for parameter in operation.get("parameters", [])]
    json_body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if rule.body == "*":
        places += json_body["schema"]["properties"]
    elif rule.body:
        places.append(rule.body)
    names = {field.name: field.json_name for field in method.input.fields}
    in_path = openapi.path_fields(rule)
    assert sorted(places) == sorted(n if n in in_path else names[n] for n in names)


@each_route
def test_a_bearer_token_is_asked_for_exactly_where_the_policy_does(
    method: Method, rule: HttpRule
) -> None:
    operation = OPERATIONS[f"{rule.verb} {rule.path}"]
    assert bool(operation["security"]) == bool(method.policy.roles or method.policy.scopes)
    assert ("401" in operation["responses"]) >= bool(operation["security"])
    assert ("403" in operation["responses"]) == bool(operation["security"])


@each_route
def test_every_error_is_the_one_status(method: Method, rule: HttpRule) -> None:
    responses = OPERATIONS[f"{rule.verb} {rule.path}"]["responses"]
    assert {"400", "429", "503"} <= set(responses)
    for code, response in responses.items():
        if code != "200":
            name = response["$ref"].rpartition("/")[2]
            content = DOCUMENT["components"]["responses"][name]["content"]
            schema = content["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Status"}


def test_rules_become_constraints() -> None:
    login = body("POST /auth/login/admin")
    assert login["required"] == ["email", "password"]
    assert login["properties"]["email"]["format"] == "email"
    assert login["properties"]["password"]["maxLength"] == 128
    nik = body("POST /users/by-nik")["properties"]["nik"]
    assert nik["pattern"] == "^[0-9]{16}$"
    zone = body("POST /institutions")["properties"]["timeZone"]
    assert zone["enum"] == ["Asia/Jakarta", "Asia/Makassar", "Asia/Jayapura"]
    assert body("POST /ocr/confirm")["properties"]["consent"]["const"] is True
    size = next(p for p in OPERATIONS["GET /queue"]["parameters"] if p["name"] == "pageSize")
    assert (size["schema"]["minimum"], size["schema"]["maximum"]) == (0, 200)


def test_required_is_what_the_validator_refuses_to_miss() -> None:
    created = body("POST /users")
    assert created["required"] == ["nama", "role"]
    assert "required" not in body("PATCH /institutions/{id}")
    parameters = {p["name"]: p["required"] for p in OPERATIONS["GET /queue"]["parameters"]}
    assert parameters["institutionId"] is True
    assert parameters["serviceId"] is False


def test_allowed_enum_values_only() -> None:
    role = body("PATCH /users/{id}/role")["properties"]["role"]
    assert role["enum"] == ["ROLE_OPERATOR", "ROLE_ADMIN_FASKES"]
    assert "ROLE_UNSPECIFIED" not in body("POST /users")["properties"]["role"]["enum"]


def test_answers_have_their_default_values() -> None:
    ticket = DOCUMENT["components"]["schemas"]["Ticket"]
    assert {"id", "peopleAhead", "status", "version"} <= set(ticket["required"])
    assert not {"estimatedWait", "callTime"} & set(ticket["required"])
    assert "tickets" in DOCUMENT["components"]["schemas"]["ListTicketsResponse"]["required"]


def test_json_forms_of_times_durations_and_enums() -> None:
    ticket = DOCUMENT["components"]["schemas"]["Ticket"]["properties"]
    assert ticket["createTime"]["format"] == "date-time"
    assert ticket["estimatedWait"]["pattern"].endswith("s$")
    assert ticket["status"]["$ref"].endswith("/TicketStatus")
    assert "TICKET_STATUS_WAITING" in DOCUMENT["components"]["schemas"]["TicketStatus"]["enum"]


def test_personal_fields_are_marked() -> None:
    assert body("POST /auth/login/user")["properties"]["nik"]["x-mediq-personal"] is True
    user = DOCUMENT["components"]["schemas"]["User"]["properties"]
    assert user["nama"]["x-mediq-personal"] is True
    assert "x-mediq-personal" not in user["id"]


def test_comments_are_descriptions() -> None:
    assert OPERATIONS["GET /queue/{id}"]["summary"] == "Gets a ticket"
    assert "Roles: PASIEN" in OPERATIONS["GET /queue/{id}"]["description"]
    user = DOCUMENT["components"]["schemas"]["User"]
    assert user["properties"]["id"]["description"] == "Identifier of the account."


def test_the_policy_is_told() -> None:
    assert OPERATIONS["GET /queue/next"]["x-mediq-policy"] == {
        "access": "USER",
        "roles": ["OPERATOR", "ADMIN_FASKES"],
        "callers": ["edge"],
        "deadlineSeconds": 2.0,
        "rate": "READ",
        "institutionField": "institution_id",
        "retriable": True,
    }


def test_uploads_are_multipart_with_a_binary_file() -> None:
    content = OPERATIONS["POST /ocr/upload"]["requestBody"]["content"]
    form = content["multipart/form-data"]["schema"]
    assert form["properties"]["file"] == {"type": "string", "format": "binary"}
    assert form["required"] == ["file"]
    assert "image/jpeg" in content
    assert "413" in OPERATIONS["POST /ocr/upload"]["responses"]


def test_streams_are_server_sent_events() -> None:
    answer = OPERATIONS["GET /queue/{id}/live"]["responses"]["200"]["content"]
    assert list(answer) == ["text/event-stream"]
    event = answer["text/event-stream"]["x-mediq-event"]["$ref"].rpartition("/")[2]
    choice = DOCUMENT["components"]["schemas"][event]["allOf"][0]["oneOf"]
    assert {"required": ["end"]} in choice


def test_documents_have_their_content_type() -> None:
    page = OPERATIONS["GET /api/docs"]["responses"]["200"]["content"]
    assert list(page) == ["text/html"]

"""OpenAPI 3.1 of the REST interface: `python -m tools.generation.openapi` prints it.

It says what Envoy's transcoder does: default values are printed, unknown JSON fields are dropped,
streams are Server-Sent Events, and every error is a google.rpc.Status.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from google.protobuf.descriptor import FieldDescriptor
from mediq.policy.v1.policy_pb2 import Access, RateClass

from mesh.contract.methods import HttpRule, Method, methods, peer_name, role_name, scope_name
from tools.generation.openapi_schemas import (
    WELL_KNOWN,
    Components,
    Schema,
    comments,
    described,
    required_fields,
)

HTTP_BODY = "google.api.HttpBody"
BINARY: Schema = {"type": "string", "format": "binary"}
UPLOAD_PART = "file"
IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp")
"""What an upload takes besides a multipart form."""
CONTENT_TYPES: Mapping[str, Sequence[str]] = {
    "ExportEncounter": ("application/fhir+json",),
    "ExportStats": ("text/csv",),
    "GetApiAsset": ("image/png", "text/css", "text/javascript"),
    "GetApiDocs": ("text/html",),
    "GetJwks": ("application/json",),
    "GetOpenApi": ("application/json",),
}
"""Content types of the answers that are not messages; the contracts do not say them."""

SWITCHED = frozenset({"ExportEncounter"})
"""Methods that an installation switches on."""
OF_THE_CALLER = frozenset({"GetProfile"})
"""Methods that find nothing when the caller's own account was closed a moment ago."""
DESCRIPTION = """Registration and queue platform for Indonesian health facilities.

- Names are camelCase, enums travel by name, times are RFC 3339 in UTC, durations are seconds such
  as `90s`, 64-bit integers are strings.
- An empty value is the same as an absent one. Answers contain default values.
- Unknown fields of a body are ignored, but each must have a name; unknown query parameters are
  refused.
- A change takes a `requestId` (a UUID): the same identifier gives the same answer, and another body
  under it is refused. Repeat a change only with the same identifier.
- A live stream is Server-Sent Events; the last event says why it ended.
- Every error is a `Status`. Its `ErrorInfo` has a constant `reason`.
"""

ERRORS: Mapping[int, tuple[str, str]] = {
    400: (
        "BadRequest",
        "The request breaks a rule (BadRequest names the fields), or the state does not allow it "
        "(PreconditionFailure).",
    ),
    401: ("Unauthorized", "No valid access token, or a wrong login."),
    403: ("Forbidden", "The role, the scope or the facility of the caller does not allow it."),
    404: ("NotFound", "It does not exist, or the caller may not know of it."),
    409: (
        "Conflict",
        "It exists already, changed meanwhile, or the requestId was used with another body.",
    ),
    413: ("TooLarge", "The body is too large."),
    429: ("TooManyRequests", "Too many calls. RetryInfo says when to try again."),
    501: ("NotImplemented", "This installation has it switched off."),
    503: ("Unavailable", "A part of the mesh does not answer. Try again later."),
    504: ("DeadlineExceeded", "It took longer than the deadline of the method."),
}
"""Name and description of each error by HTTP status."""

STATUS: Schema = {
    "description": "An error, google.rpc.Status in JSON.",
    "type": "object",
    "properties": {
        "code": {"description": "The google.rpc.Code.", "type": "integer", "format": "int32"},
        "message": {"description": "What happened, for a developer.", "type": "string"},
        "details": {
            "description": "google.rpc.ErrorInfo (domain mediq, a constant reason), and where they "
            "fit BadRequest, ResourceInfo, RetryInfo, PreconditionFailure.",
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"@type": {"description": "Type of the detail.", "type": "string"}},
                "required": ["@type"],
            },
        },
    },
    "required": ["code", "message", "details"],
}


def path_fields(rule: HttpRule) -> list[str]:
    """Returns the request fields that stand in the path of a rule."""
    return re.findall(r"{(\w+)}", rule.path)


def query_fields(method: Method, rule: HttpRule) -> list[FieldDescriptor]:
    """Returns the request fields that a rule takes from the query."""
    if rule.body == "*":
        return []
    elsewhere = {*path_fields(rule), rule.body}
    return [field for field in method.input.fields if field.name not in elsewhere]


def _parameters(method: Method, rule: HttpRule, components: Components) -> Iterator[Schema]:
    named = method.input.fields_by_name
    required = required_fields(method.input)
    placed = [("path", named[name]) for name in path_fields(rule)]
    placed += [("query", field) for field in query_fields(method, rule)]
    for place, field in placed:
        schema = components.field(field, output=False)
        parameter = {
            "name": field.name if place == "path" else field.json_name,
            "in": place,
            "required": place == "path" or field.name in required,
        }
        schema.pop("description", None)
        yield described(field.full_name, {**parameter, "schema": schema})


def _request_body(method: Method, rule: HttpRule, components: Components) -> Schema | None:
    if not rule.body:
        return None
    if rule.body == "*":
        elsewhere = path_fields(rule)
        schema = components.fields(method.input, output=False, leave_out=elsewhere)
        schema = {"title": method.input.name, **schema}
        content = {"application/json": {"schema": schema}}
        return {"required": "required" in schema, "content": content}
    body = method.input.fields_by_name[rule.body]
    if body.message_type is None or body.message_type.full_name != HTTP_BODY:
        schema = components.field(body, output=False)
        return {"required": True, "content": {"application/json": {"schema": schema}}}
    form: Schema = {
        "type": "object",
        "properties": {UPLOAD_PART: BINARY},
        "required": [UPLOAD_PART],
    }
    content = {kind: {"schema": BINARY} for kind in IMAGE_TYPES}
    text = {"required": True, "content": {"multipart/form-data": {"schema": form}, **content}}
    return described(body.full_name, text)


def _success(method: Method, components: Components) -> Schema:
    output = method.descriptor.output_type
    if output.full_name == HTTP_BODY:
        binary = {"image/png": BINARY, "application/json": {"type": "object"}}
        binary["application/fhir+json"] = {"type": "object"}
        kinds = CONTENT_TYPES[method.name]
        content = {kind: {"schema": binary.get(kind, {"type": "string"})} for kind in kinds}
        return {"description": "The document.", "content": content}
    schema = WELL_KNOWN.get(output.full_name) or components.reference(output, output=True)
    text = comments().get(output.full_name) or "Nothing."
    if method.streaming:
        event = {"schema": {"type": "string"}, "x-mediq-event": schema}
        text = f"Server-Sent Events; the data of each is one {output.name} as JSON."
        return {"description": text, "content": {"text/event-stream": event}}
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _errors(method: Method, rule: HttpRule) -> Iterator[int]:
    """Returns the HTTP statuses of the errors that a call can meet."""
    signed_in = method.policy.access == Access.ACCESS_USER
    things = {field.name for field in method.input.fields} - {"request_id"}
    yield 400
    if signed_in or method.policy.rate == RateClass.RATE_CLASS_LOGIN:
        yield 401
    if signed_in:
        yield 403
    gets = method.name.startswith("Get") and bool(things)
    gets |= method.name in OF_THE_CALLER
    if gets or path_fields(rule) or any(name.endswith("_id") for name in things):
        yield 404
    if method.mutating:
        yield 409
    if rule.body:
        yield 413
    yield 429
    if method.name in SWITCHED:
        yield 501
    yield 503
    if method.deadline_seconds is not None:
        yield 504


def _policy(method: Method) -> Schema:
    """Returns the policy of a method as an extension of its operation."""
    policy = method.policy
    facts: Schema = {
        "access": Access.Name(policy.access).removeprefix("ACCESS_"),
        "roles": [role_name(role) for role in policy.roles],
        "scopes": [scope_name(scope) for scope in policy.scopes],
        "callers": [peer_name(peer) for peer in policy.callers],
        "deadlineSeconds": method.deadline_seconds,
        "rate": RateClass.Name(policy.rate).removeprefix("RATE_CLASS_"),
        "institutionField": policy.institution_field,
        "subjectField": policy.subject_field,
        "retriable": method.retriable,
    }
    return {name: fact for name, fact in facts.items() if fact not in ("", [], None)}


def _operation(method: Method, number: int, components: Components) -> Schema:
    rule = method.rules[number]
    text = comments()[method.descriptor.full_name]
    roles = ", ".join(role_name(role) for role in method.policy.roles)
    scopes = ", ".join(scope_name(scope) for scope in method.policy.scopes)
    needs = [f"Roles: {roles}."] * bool(roles) + [f"Scopes: {scopes}."] * bool(scopes)
    operation: Schema = {
        "operationId": method.name if number == 0 else f"{method.name}{number + 1}",
        "tags": [method.service.rpartition(".")[2]],
        "summary": text.partition(". ")[0].removesuffix("."),
        "description": "\n\n".join([text, *needs]),
    }
    if parameters := list(_parameters(method, rule, components)):
        operation["parameters"] = parameters
    if body := _request_body(method, rule, components):
        operation["requestBody"] = body
    operation["responses"] = {"200": _success(method, components)} | {
        str(error): {"$ref": f"#/components/responses/{ERRORS[error][0]}"}
        for error in _errors(method, rule)
    }
    signed_in = method.policy.access == Access.ACCESS_USER
    operation["security"] = [{"bearer": []}] if signed_in else []
    operation["x-mediq-policy"] = _policy(method)
    return operation


def document() -> Schema:
    """Returns the OpenAPI document as a value."""
    components = Components()
    components.schemas["Status"] = STATUS
    paths: dict[str, Schema] = {}
    tags: dict[str, Schema] = {}
    for method in methods().values():
        for number, rule in enumerate(method.rules):
            operation = _operation(method, number, components)
            paths.setdefault(rule.path, {})[rule.verb.lower()] = operation
            tag = method.service.rpartition(".")[2]
            tags[tag] = {"name": tag, "description": comments()[method.service]}
    status = {"application/json": {"schema": {"$ref": "#/components/schemas/Status"}}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "MediQ mesh",
            "version": "v1",
            "description": DESCRIPTION,
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": list(tags.values()),
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(components.schemas.items())),
            "responses": {
                name: {"description": text, "content": status} for name, text in ERRORS.values()
            },
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "Access token of /auth/login/admin, /auth/login/user or a "
                    "registration.",
                }
            },
        },
    }


def render() -> str:
    """Renders the OpenAPI document as text, the same at every call."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(render(), end="")

"""Rules on the REST routes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from mesh.contract.methods import HttpRule, Method
from tools.contract_lint.contracts import SOURCES, Contracts, Route, is_personal, rules_of
from tools.contract_lint.rules import each_route, whole

VARIABLE = re.compile("{([^}]*)}")
ORIGINAL_ROUTES = (
    "POST /auth/login/admin",
    "POST /auth/login/user",
    "POST /auth/refresh",
    "POST /auth/logout",
    "POST /users",
    "GET /users/profile",
    "GET /users",
    "GET /users/{}",
    "PATCH /users/{}/role",
    "DELETE /users/{}",
    "POST /ocr/upload",
    "GET /ocr/{}",
    "PATCH /ocr/{}",
    "POST /ocr/confirm",
    "POST /queue",
    "GET /queue",
    "GET /queue/next",
    "POST /queue/next",
    "GET /queue/{}",
    "PATCH /queue/{}/status",
    "DELETE /queue/{}",
    "GET /queue/my-queue",
    "GET /queue/stats",
    "GET /stats/daily",
    "GET /stats/weekly",
    "POST /institutions",
    "GET /institutions",
    "GET /institutions/{}",
    "PATCH /institutions/{}",
    "DELETE /institutions/{}",
    "GET /institutions/{}/services",
    "POST /institutions/{}/services",
    "GET /institutions/search",
    "GET /institutions/{}/queue/stats",
    "GET /api/docs",
    "GET /health",
)
"""The REST interface of the system that this one replaces."""


def _shape(rule: HttpRule) -> str:
    """Returns a route without the names of its variables."""
    return f"{rule.verb} {VARIABLE.sub('{}', rule.path)}"


def _personal(method: Method) -> set[str]:
    """Returns the names of the request fields that carry personal data."""
    return {field.name for field in method.input.fields if is_personal(field)}


@each_route
def verbs_fit_the_effect(route: Route) -> Iterator[str]:
    """Demands GET for reads, which caches and browsers repeat; personal data travel in a body."""
    options = route.method.descriptor.GetOptions()
    reads = options.idempotency_level == MethodOptions.NO_SIDE_EFFECTS
    allowed = {"GET"} if reads and not _personal(route.method) else {"POST", "PATCH", "DELETE"}
    if route.rule.verb not in allowed:
        yield f"has the route {route.rule.verb} {route.rule.path}, not {', '.join(sorted(allowed))}"


@each_route
def path_variables_are_validated(route: Route) -> Iterator[str]:
    """Demands a UUID or a pattern of each path variable: any text would be taken otherwise."""
    for name in VARIABLE.findall(route.rule.path):
        field = route.method.input.fields_by_name.get(name)
        if field is None:
            yield f"has the path variable {name}, which is not in the request"
        elif field.type != FieldDescriptor.TYPE_STRING or field.has_presence:
            yield f"has the path variable {name}, which is no string that is always there"
        elif not (rules_of(field).string.uuid or rules_of(field).string.pattern):
            yield f"has the path variable {name}, which is not validated"


@each_route
def no_personal_data_in_urls(route: Route) -> Iterator[str]:
    """Refuses personal data in paths and queries, because every proxy writes those into its log."""
    in_url = set(VARIABLE.findall(route.rule.path))
    if route.rule.body != "*":
        in_url |= set(route.method.input.fields_by_name) - {route.rule.body}
    if shown := _personal(route.method) & in_url:
        route_name = f"{route.rule.verb} {route.rule.path}"
        yield f"has {', '.join(sorted(shown))} in the URL of {route_name}"


@whole
def routes_are_unique(contracts: Contracts) -> Iterator[tuple[str, str]]:
    """Refuses two methods at one route: Envoy would serve only the first."""
    shapes = Counter(_shape(route.rule) for route in contracts.routes)
    for route in contracts.routes:
        if shapes[_shape(route.rule)] > 1:
            yield route.method.descriptor.full_name, f"shares the route {_shape(route.rule)}"


@whole
def original_routes_exist(contracts: Contracts) -> Iterator[tuple[str, str]]:
    """Demands the routes of the system that this one replaces: its clients still call them."""
    shapes = {_shape(route.rule) for route in contracts.routes}
    for route in ORIGINAL_ROUTES:
        if route not in shapes:
            yield SOURCES, f"{route} is served by no method"

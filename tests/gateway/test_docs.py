"""The documentation page: complete, without another host, and nothing else from the disk."""

from __future__ import annotations

import gzip
import json
import re
from typing import TYPE_CHECKING

import pytest
from google.protobuf.message import Message
from mediq.gateway.v1.gateway_service_pb2 import (
    GetApiAssetRequest,
    GetApiDocsRequest,
    GetOpenApiRequest,
)

from edge.settings import EdgeSettings
from gateway.__main__ import wire
from gateway.adapters.api_docs import BUNDLED, INITIALIZER
from gateway.settings import GatewaySettings
from mesh.clock import utc_now
from mesh.rpc.server import Server
from tests.support.mesh import Mesh, problem
from tools.generation import openapi

if TYPE_CHECKING:
    from mediq.gateway.v1.gateway_service_pb2_grpc import GatewayServiceAsyncStub

LINK = re.compile(r'(?:src|href)="([^"]*)"')


async def test_every_link_of_the_page_is_served(gateway: GatewayServiceAsyncStub) -> None:
    page = await gateway.GetApiDocs(GetApiDocsRequest())
    assert page.content_type == "text/html; charset=utf-8"
    links = set(LINK.findall(page.data.decode()))
    links.remove("/api/openapi.json")
    assert len(links) == len(BUNDLED) + 1
    for link in links:
        folder, _, name = link.rpartition("/")
        assert folder == "/api/docs"
        assert (await gateway.GetApiAsset(GetApiAssetRequest(name=name))).data


async def test_the_page_runs_no_inline_script_and_no_foreign_file(
    gateway: GatewayServiceAsyncStub,
) -> None:
    page = (await gateway.GetApiDocs(GetApiDocsRequest())).data.decode()
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|style=", page)
    own = (await gateway.GetApiAsset(GetApiAssetRequest(name=INITIALIZER))).data
    assert "://" not in page + gzip.decompress(own).decode()


@pytest.mark.parametrize(
    ("name", "content_type"), [*BUNDLED.items(), (INITIALIZER, "text/javascript")]
)
async def test_assets_have_their_content_type_and_may_be_cached(
    gateway: GatewayServiceAsyncStub, name: str, content_type: str
) -> None:
    call = gateway.GetApiAsset(GetApiAssetRequest(name=name))
    headers = await call.initial_metadata()
    assert (await call).content_type == content_type
    sent = dict(headers)
    assert sent["cache-control"] == "public, max-age=3600"
    assert sent["content-encoding"] == "gzip"


async def test_assets_are_small_enough_for_the_edge(gateway: GatewayServiceAsyncStub) -> None:
    for name in [*BUNDLED, INITIALIZER]:
        asset = await gateway.GetApiAsset(GetApiAssetRequest(name=name))
        assert gzip.decompress(asset.data)
        assert len(asset.data) < EdgeSettings().body_limit_bytes


@pytest.mark.parametrize(
    "name", ["index.html", "swagger-ui.js", "swagger-ui-bundle.js.map", "..", "index.j2", "a.css"]
)
async def test_other_files_do_not_exist(gateway: GatewayServiceAsyncStub, name: str) -> None:
    call = gateway.GetApiAsset(GetApiAssetRequest(name=name))
    assert await problem(call) == ("NOT_FOUND", "ASSET_NOT_FOUND")


@pytest.mark.parametrize(
    "name",
    ["../assets.py", "..%2fassets.py", "/etc/passwd", "static/index.html", "", "A.CSS", "\0"],
)
async def test_paths_are_no_names(gateway: GatewayServiceAsyncStub, name: str) -> None:
    call = gateway.GetApiAsset(GetApiAssetRequest(name=name))
    assert await problem(call) == ("INVALID_ARGUMENT", "INVALID_REQUEST")


async def test_the_openapi_document_is_the_one_of_the_contracts(
    gateway: GatewayServiceAsyncStub,
) -> None:
    answer = await gateway.GetOpenApi(GetOpenApiRequest())
    assert answer.content_type == "application/json"
    assert json.loads(answer.data) == openapi.document()


async def test_the_content_types_are_the_documented_ones(gateway: GatewayServiceAsyncStub) -> None:
    calls: dict[str, Message] = {
        "GetApiDocs": GetApiDocsRequest(),
        "GetOpenApi": GetOpenApiRequest(),
        "GetApiAsset": GetApiAssetRequest(name=INITIALIZER),
    }
    for name, request in calls.items():
        answer = await getattr(gateway, name)(request)
        assert answer.content_type.partition(";")[0] in openapi.CONTENT_TYPES[name]


async def test_a_missing_document_stops_the_start(mesh: Mesh) -> None:
    mesh.addresses.update(dict.fromkeys(("user_svc", "ocr_svc", "ocr_engine"), "127.0.0.1:1"))
    mesh.addresses.update(dict.fromkeys(("queue_svc", "institution_svc"), "127.0.0.1:1"))
    settings = GatewaySettings(home=mesh.home, port=0, openapi_file=mesh.home / "none.json")
    with pytest.raises(FileNotFoundError, match="none"):
        wire(Server(settings, utc_now), mesh.channels("gateway"), utc_now)

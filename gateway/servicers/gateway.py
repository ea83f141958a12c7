"""The RPCs of status and documentation."""

from google.api.httpbody_pb2 import HttpBody
from mediq.gateway.v1 import gateway_service_pb2 as messages
from mediq.gateway.v1.gateway_service_pb2_grpc import GatewayServiceServicer

from gateway.application.mesh_health import MeshHealth
from gateway.domain.api_docs import ApiDocs, Asset
from mesh.clock import timestamp
from mesh.contract.call import principal
from mesh.errors import not_found
from mesh.rpc.pipeline import Context

ASSET_HEADERS = (
    # Files change with a release only, and are the same for everyone.
    ("cache-control", "public, max-age=3600"),
    ("content-encoding", "gzip"),
)
"""Metadata that the edge passes on as headers."""


def _body(asset: Asset) -> HttpBody:
    return HttpBody(content_type=asset.content_type, data=asset.content)


class GatewayServicer(GatewayServiceServicer):
    """Serves documentation and status of the mesh."""

    def __init__(self, health: MeshHealth, docs: ApiDocs) -> None:
        """Serves the state that `health` knows, and `docs`."""
        self._health = health
        self._docs = docs

    async def GetHealth(
        self, request: messages.GetHealthRequest, context: Context
    ) -> messages.GetHealthResponse:
        unavailable = (await self._health.state()).unavailable
        return messages.GetHealthResponse(healthy=not unavailable, unavailable=unavailable)

    async def GetSystemStatus(
        self, request: messages.GetSystemStatusRequest, context: Context
    ) -> messages.SystemStatus:
        state = await self._health.state_for(principal())
        return messages.SystemStatus(
            services=[messages.ServiceStatus(**vars(service)) for service in state.services],
            check_time=timestamp(state.check_time),
        )

    async def GetApiDocs(self, request: messages.GetApiDocsRequest, context: Context) -> HttpBody:
        return _body(self._docs.page)

    async def GetApiAsset(self, request: messages.GetApiAssetRequest, context: Context) -> HttpBody:
        asset = self._docs.assets.get(request.name)
        if asset is None:
            raise not_found("asset", request.name)
        await context.send_initial_metadata(ASSET_HEADERS)
        return _body(asset)

    async def GetOpenApi(self, request: messages.GetOpenApiRequest, context: Context) -> HttpBody:
        return _body(self._docs.openapi)

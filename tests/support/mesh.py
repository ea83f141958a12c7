"""Real aio servers on port 0, real mTLS, real tokens."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import grpc
from google.protobuf.message_factory import GetMessageClass
from mediq.policy.v1.policy_pb2 import Role, Scope

from mesh.clock import utc_now
from mesh.contract.methods import SERVERS, methods
from mesh.errors import unavailable
from mesh.identity.tls import channel_credentials, server_credentials
from mesh.identity.tokens import TokenSigner
from mesh.rpc.client import Channels
from mesh.rpc.pipeline import Handler
from mesh.rpc.server import OPTIONS, Server
from mesh.settings import ServiceSettings


def partly(service: str) -> Callable[[object, grpc.aio.Server], None]:
    """A registration like the generated ones, for a servicer with only some of the methods."""

    def register(servicer: object, server: grpc.aio.Server) -> None:
        handlers: dict[str, Handler] = {}
        for method in methods().values():
            behaviour = getattr(servicer, method.name, None)
            if method.service == service and behaviour is not None:
                handlers[method.name] = grpc.unary_unary_rpc_method_handler(
                    behaviour,
                    GetMessageClass(method.input).FromString,
                    GetMessageClass(method.descriptor.output_type).SerializeToString,
                )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        server.add_registered_method_handlers(service, handlers)

    return register


@dataclass
class Mesh:
    """A data folder and the addresses of the servers that a test started."""

    home: Path
    addresses: dict[str, str] = field(default_factory=dict)

    def channels(self, identity: str) -> Channels:
        """Kit channels of a service to the servers of this test."""
        return Channels(self.home / "tls", identity, self._address)

    def _address(self, server: str) -> str:
        """Where a server is; what the test has not started is away, as a server can be.

        Raises:
            MeshError: UNAVAILABLE, the test has not started it.
        """
        try:
            return self.addresses[server]
        except KeyError:
            raise unavailable(f"{server} was not started", "NOT_STARTED") from None

    def channel(self, server: str, identity: str = "edge") -> grpc.aio.Channel:
        """A plain channel, without the kit's interceptors, that shows a certificate."""
        options = [("grpc.ssl_target_name_override", server.replace("_", "-"))]
        return grpc.aio.secure_channel(
            self.addresses[server],
            channel_credentials(self.home / "tls", identity),
            options=[*options, *((k, v) for k, v in OPTIONS if "max_" in k and "message" in k)],
        )

    def token(
        self,
        role: Role.ValueType = Role.ROLE_UNSPECIFIED,
        *,
        subject: str | None = None,
        institution_id: str = "",
        scope: Scope.ValueType = Scope.SCOPE_UNSPECIFIED,
        lifetime_seconds: int = 300,
    ) -> tuple[tuple[str, str], ...]:
        """Metadata with a valid access token."""
        token, _ = TokenSigner(self.home / "keys").sign(
            subject or str(uuid4()),
            lifetime_seconds=lifetime_seconds,
            session_id=str(uuid4()),
            role=role,
            scope=scope,
            institution_id=institution_id,
        )
        return (("authorization", f"Bearer {token}"),)

    @asynccontextmanager
    async def serve(
        self, settings: ServiceSettings, build: Callable[[Server], Awaitable[None]]
    ) -> AsyncIterator[Server]:
        """Runs a real service of the mesh on a free port."""
        server = Server(settings, utc_now)
        await build(server)
        port = await server.start()
        self.addresses[settings.service] = f"127.0.0.1:{port}"
        try:
            yield server
        finally:
            await server.stop()

    @asynccontextmanager
    async def double(
        self, name: str, *registrations: tuple[Callable[..., None], object]
    ) -> AsyncIterator[None]:
        """Runs generated servicers, a test double of the service `name`, with its certificate."""
        server = grpc.aio.server(options=OPTIONS)
        for register, servicer in registrations:
            register(servicer, server)
        credentials = server_credentials(self.home / "tls", SERVERS[name].name)
        port = server.add_secure_port("127.0.0.1:0", credentials)
        await server.start()
        self.addresses[name] = f"127.0.0.1:{port}"
        try:
            yield
        finally:
            await server.stop(0)


async def problem(call: Awaitable[object]) -> tuple[str, str]:
    """The code and the ErrorInfo reason that a call fails with.

    Raises:
        AssertionError: The call succeeds.
    """
    from mesh.contract.status import from_rpc_error

    try:
        await call
    except grpc.aio.AioRpcError as error:
        found = from_rpc_error(error)
        return found.kind.value, found.reason
    raise AssertionError("the call succeeded")

"""What generated code registers at a server, and the methods of contracts that are not ours."""

from collections.abc import Sequence

from google.protobuf import descriptor_pool
from mediq.policy.v1.policy_pb2 import Access, AuditClass, Peer, Policy

from mesh.contract.methods import Method
from mesh.rpc.pipeline import Handler

__all__ = [
    "HandlerCollector",
    "external_method",
]


class HandlerCollector:
    """Takes the place of a server while generated code registers its handlers."""

    def __init__(self) -> None:
        """Starts without handlers."""
        self.handlers: dict[str, dict[str, Handler]] = {}
        """By the name of the service, then of the method."""

    def add_generic_rpc_handlers(self, generic: object) -> None:
        """Passes over what generated code registers too; the named handlers say it all."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Handler]) -> None:
        """Takes the handlers of a service."""
        self.handlers[service] = handlers


def external_method(
    server: str, service: str, name: str, callers: Sequence[Peer.ValueType]
) -> Method:
    """Makes a method of a contract that is not ours, with the policy that ours would have."""
    descriptor = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    return Method(
        server=server,
        service=service,
        name=name,
        policy=Policy(
            access=Access.ACCESS_SERVICE, callers=callers, audit=AuditClass.AUDIT_CLASS_NONE
        ),
        rules=(),
        retriable=False,
        streaming=descriptor.server_streaming,
        descriptor=descriptor,
    )

"""Where the parts of a mesh on one machine listen, and where its data folder is."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mesh.contract.methods import SERVERS
from mesh.registry import installed_services


class StartError(Exception):
    """Raised when the mesh cannot start; the text says what to do."""


@dataclass(frozen=True)
class MeshLayout:
    """Holds where everything listens."""

    data_dir: Path
    """Folder of keys, certificates and databases."""
    edge_port: int = 8601
    """Port of the REST API."""
    admin_port: int = 8600
    """Port of Envoy's administration."""
    ports: Mapping[str, int] = field(
        default_factory=lambda: {name: SERVERS[name].port for name in installed_services()}
    )
    """Port of each service."""

    @classmethod
    def from_environment(cls, data_dir: Path) -> "MeshLayout":
        """Returns the layout with the ports of the environment, or else the default ones.

        The variables are MEDIQ_PORT, MEDIQ_ENVOY_ADMIN_PORT and MEDIQ_<NAME>_PORT.
        """
        variables = os.environ
        return cls(
            data_dir,
            int(variables.get("MEDIQ_PORT", "8601")),
            int(variables.get("MEDIQ_ENVOY_ADMIN_PORT", "8600")),
            {
                name: int(variables.get(f"MEDIQ_{name.upper()}_PORT", str(SERVERS[name].port)))
                for name in installed_services()
            },
        )

    @property
    def url(self) -> str:
        """Returns the address of the REST API."""
        return f"http://127.0.0.1:{self.edge_port}"

    def environment(self) -> dict[str, str]:
        """Returns the variables that tell every service the layout."""
        variables = {
            **os.environ,
            "MEDIQ_HOME": str(self.data_dir),
            "MEDIQ_MIGRATE_AT_START": "false",
            "PYTHONUNBUFFERED": "1",
            # The C library's arena per thread would double what a service keeps.
            "MALLOC_ARENA_MAX": "2",
        }
        for name, port in self.ports.items():
            variables[f"MEDIQ_{name.upper()}_PORT"] = str(port)
            variables[f"MEDIQ_{name.upper()}_ADDRESS"] = f"127.0.0.1:{port}"
        return variables

    def require_free_ports(self) -> None:
        """Requires that every port can be taken.

        Raises:
            StartError: One is in use.
        """
        names = {self.edge_port: "MEDIQ_PORT", self.admin_port: "MEDIQ_ENVOY_ADMIN_PORT"}
        names |= {port: f"MEDIQ_{name.upper()}_PORT" for name, port in self.ports.items()}
        for port, variable in names.items():
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError as error:
                    raise StartError(
                        f"port {port} is in use: stop the other program (is the mesh running "
                        f"already?), or set {variable} to a free port"
                    ) from error

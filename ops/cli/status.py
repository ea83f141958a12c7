"""mediq status: which services are ready."""

import asyncio

import typer

from mesh.identity.certificates import IdentityError, read_identity
from mesh.settings import home_folder
from ops.layout import MeshLayout
from ops.supervisor import is_serving


def status() -> None:
    """Show whether each service is ready; exit 1 when one is not."""
    layout = MeshLayout.from_environment(home_folder())
    try:
        read_identity(layout.data_dir / "tls", "ops")
    except FileNotFoundError:
        raise SystemExit(
            f"mediq: {layout.data_dir} has no certificates: start the mesh first (mediq up)"
        ) from None
    except (OSError, IdentityError) as error:
        raise SystemExit(f"mediq: {error}") from None

    async def query_readiness() -> list[bool]:
        return await asyncio.gather(*(is_serving(layout, name) for name in layout.ports))

    ready = asyncio.run(query_readiness())
    for name, good in zip(layout.ports, ready, strict=True):
        typer.echo(f"{name:<16} {layout.ports[name]:<6} {'ready' if good else 'NOT READY'}")
    if not all(ready):
        raise SystemExit(1)

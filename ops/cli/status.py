"""mediq status: which services are ready."""

import asyncio

import typer

from mesh.identity.certificates import IdentityError, read_identity
from mesh.settings import home_folder
from ops.supervisor import MeshLayout, serving


def status() -> None:
    """Show whether each service is ready; exit 1 when one is not."""
    plan = MeshLayout.from_environment(home_folder())
    try:
        read_identity(plan.home / "tls", "ops")
    except FileNotFoundError:
        raise SystemExit(
            f"mediq: {plan.home} has no certificates: start the mesh first (mediq up)"
        ) from None
    except (OSError, IdentityError) as error:
        raise SystemExit(f"mediq: {error}") from None

    async def look() -> list[bool]:
        return await asyncio.gather(*(serving(plan, name) for name in plan.ports))

    ready = asyncio.run(look())
    for name, good in zip(plan.ports, ready, strict=True):
        typer.echo(f"{name:<16} {plan.ports[name]:<6} {'ready' if good else 'NOT READY'}")
    if not all(ready):
        raise SystemExit(1)

"""mediq up: run the whole mesh on this machine."""

import asyncio
import signal

import typer

from mesh.settings import home_folder
from ops.layout import MeshLayout, StartError
from ops.supervisor import Supervisor


def up() -> None:
    """Start the six services and Envoy, and serve until Ctrl-C."""
    try:
        asyncio.run(_serve())
    except StartError as error:
        raise SystemExit(f"mediq: {error}") from error


async def _serve() -> None:
    layout = MeshLayout.from_environment(home_folder())
    supervisor = Supervisor(layout, lambda name, line: typer.echo(f"{name:<16}| {line}", err=True))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    starting = asyncio.ensure_future(supervisor.start())
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            url = layout.url
            typer.echo(f"MediQ serves at {url}  (API: {url}/api/docs, data: {layout.data_dir})")
            typer.echo("First administrator: mediq admin create --email YOU@EXAMPLE.ORG")
            await stopping
    finally:
        starting.cancel()
        typer.echo("stopping", err=True)
        await supervisor.stop()

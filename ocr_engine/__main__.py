"""Starts the card reader."""

from functools import partial
from typing import TYPE_CHECKING

from mediq.ocr_engine.v1.ocr_engine_service_pb2_grpc import (
    add_OcrEngineServiceServicer_to_server,
)

from mesh.server import Server, run
from ocr_engine.servicer import OcrEngineServicer
from ocr_engine.settings import Settings
from ocr_engine.worker import EngineWorker

if TYPE_CHECKING:
    from ocr_engine.engine import CardEngine


async def build(settings: Settings, server: Server) -> None:
    """Wires the reader into a server; the networks are loaded once it listens."""
    worker = EngineWorker(partial(_load, settings), settings.max_waiting)
    server.add(add_OcrEngineServiceServicer_to_server, OcrEngineServicer(worker))
    server.check("model", worker.require_ready)
    server.background(worker.start)
    server.on_close(worker.close)


def _load(settings: Settings) -> "CardEngine":
    """Imports the networks' libraries here, so that the server answers health checks meanwhile."""
    from ocr_engine.engine import CardEngine
    from ocr_engine.reader import ReaderSettings

    return CardEngine(ReaderSettings(settings.torch_threads, settings.detection_side_px))


if __name__ == "__main__":
    found = Settings()
    run(found, partial(build, found))

"""Starts the card reader."""

from functools import partial
from typing import TYPE_CHECKING

from mediq.ocr_engine.v1.ocr_engine_service_pb2_grpc import (
    add_OcrEngineServiceServicer_to_server,
)

from mesh.rpc.server import Server, run
from ocr_engine.serving.metrics import EngineMetrics
from ocr_engine.serving.servicer import OcrEngineServicer
from ocr_engine.serving.worker import EngineWorker
from ocr_engine.settings import EngineSettings

if TYPE_CHECKING:
    from ocr_engine.serving.engine import CardEngine


async def build(server: Server) -> None:
    """Wires the service; the networks are loaded once it listens."""
    settings = server.settings
    assert isinstance(settings, EngineSettings)
    metrics = EngineMetrics(server.meter)
    worker = EngineWorker(
        partial(_load, settings), settings.max_waiting, settings.max_batches, metrics
    )
    servicer = OcrEngineServicer(worker, metrics, server.draining)
    server.add(add_OcrEngineServiceServicer_to_server, servicer)
    server.add_readiness_check("model", worker.require_ready)
    server.add_background_task(worker.start)
    server.on_close(worker.close)


def _load(settings: EngineSettings) -> "CardEngine":
    """Imports the networks' libraries here, so that the server answers health checks meanwhile."""
    from ocr_engine.serving.engine import CardEngine

    return CardEngine(threads=settings.threads)


if __name__ == "__main__":
    run(EngineSettings(), build)

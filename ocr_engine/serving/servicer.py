"""Between the contract and the engine: nothing but translation, and the order of a batch."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import grpc
from mediq.ocr_engine.v1 import ocr_engine_service_pb2 as pb
from mediq.ocr_engine.v1.ocr_engine_service_pb2_grpc import OcrEngineServiceServicer

from mesh.contract.call import current_call
from mesh.errors import MeshError, StatusCode
from mesh.rpc.pipeline import as_mesh_error
from ocr_engine.parsing import DocumentType, check, contradicts
from ocr_engine.serving.messages import (
    error_message,
    ktp_fields_of,
    reading_message,
    warning_messages,
)
from ocr_engine.serving.metrics import EngineMetrics
from ocr_engine.serving.worker import EngineWorker, TimedReading, TooLate

Context = grpc.aio.ServicerContext[Any, Any]

SUMMARY_SECONDS = 0.5
"""Kept back from the deadline of a batch for the answers that say what was not read."""
COMPLETE = "COMPLETE"


class OcrEngineServicer(OcrEngineServiceServicer):
    """Serves mediq.ocr_engine.v1.OcrEngineService."""

    def __init__(
        self, worker: EngineWorker, metrics: EngineMetrics, draining: asyncio.Event
    ) -> None:
        """Serves what the worker reads.

        Args:
            worker: Reads.
            metrics: Told about every answer.
            draining: Set when the server begins to stop: batches end then.
        """
        self._worker = worker
        self._metrics = metrics
        self._draining = draining

    async def ReadCard(self, request: pb.ReadCardRequest, context: Context) -> pb.CardReading:
        return await self._answer(self._worker.read(request.image, _seconds_left()))

    async def ReadCards(
        self, request: pb.ReadCardsRequest, context: Context
    ) -> AsyncIterator[pb.ReadCardsResponse]:
        with self._worker.batch():
            summary = pb.ReadingSummary(reason=COMPLETE)
            end: MeshError | None = None
            for index in range(len(request.images)):
                response = pb.ReadCardsResponse(index=index)
                try:
                    if end is not None:
                        raise end
                    # One at a time: each access copies the photo out of the request.
                    reading = await self._answer(self._in_turn(request.images[index]))
                    response.reading.CopyFrom(reading)
                    summary.read_count += 1
                except Exception as error:
                    failure = as_mesh_error(error)
                    if isinstance(failure, TooLate | _Stopping):
                        end, summary.reason = failure, failure.reason
                    response.error.CopyFrom(error_message(failure))
                    summary.failed_count += 1
                yield response
            yield pb.ReadCardsResponse(summary=summary)

    async def ValidateReading(
        self, request: pb.ValidateReadingRequest, context: Context
    ) -> pb.ValidateReadingResponse:
        warnings = check(ktp_fields_of(request.ktp))
        return pb.ValidateReadingResponse(
            valid=not contradicts(warnings),
            warnings=warning_messages(warnings),
        )

    async def _answer(self, reading: Awaitable[TimedReading]) -> pb.CardReading:
        """Waits for a reading and translates it; counts what came of it."""
        document_type, outcome = DocumentType.UNKNOWN, "INTERNAL"
        try:
            timed = await reading
            document_type = timed.reading.document_type
            timed.reading.require_card()
            outcome = "READ"
            return reading_message(timed)
        except MeshError as error:
            outcome = error.reason
            raise
        except asyncio.CancelledError:
            outcome = "CANCELLED"
            raise
        finally:
            self._metrics.answered(document_type.value, outcome)

    async def _in_turn(self, image: bytes) -> TimedReading:
        """Reads a photo of a batch, unless the deadline or the end of the server comes first.

        Raises:
            TooLate, _Stopping: Then there is no time for the other photos either.
        """
        left = _seconds_left()
        if left is not None:
            left -= SUMMARY_SECONDS
        reading = asyncio.ensure_future(self._worker.read_of_batch(image, left))
        stop = asyncio.ensure_future(self._draining.wait())
        try:
            await asyncio.wait({reading, stop}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                return reading.result()
            raise _Stopping() if stop.done() else TooLate()
        finally:
            reading.cancel()
            stop.cancel()


class _Stopping(MeshError):
    """Reports that the server ends before the photo was read."""

    def __init__(self) -> None:
        super().__init__(
            "the reader stops", StatusCode.UNAVAILABLE, "STOPPING", retry_after_seconds=1.0
        )


def _seconds_left() -> float | None:
    call = current_call()
    return None if call is None else call.remaining_seconds()

"""Between the contract and the engine: nothing but translation, and the order of a batch."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from typing import Any

import grpc
from mediq.ocr_engine.v1 import ocr_engine_service_pb2 as pb
from mediq.ocr_engine.v1.ocr_engine_service_pb2_grpc import OcrEngineServiceServicer

from mesh.contract.call import current_call
from mesh.errors import MeshError, StatusCode
from mesh.rpc.pipeline import as_mesh_error
from ocr_engine.parsing import (
    ADVICE_MESSAGES,
    ADVICE_MESSAGES_EN,
    Advice,
    CardWarning,
    DocumentType,
    Field,
    FieldReason,
    KtpFields,
    Quality,
    SimFields,
    WarningCode,
    check,
)
from ocr_engine.serving.metrics import EngineMetrics
from ocr_engine.serving.worker import EngineWorker, TimedReading, TooLate

Context = grpc.aio.ServicerContext[Any, Any]

SUMMARY_SECONDS = 0.5
"""Kept back from the deadline of a batch for the answers that say what was not read."""
COMPLETE = "COMPLETE"
_DOCUMENT_TYPES = {
    DocumentType.UNKNOWN: pb.DOCUMENT_TYPE_UNSPECIFIED,
    DocumentType.KTP: pb.DOCUMENT_TYPE_KTP,
    DocumentType.SIM: pb.DOCUMENT_TYPE_SIM,
}
_REASONS = {reason: pb.FieldReason.Value(f"FIELD_REASON_{reason.value}") for reason in FieldReason}
_REASON_NAMES = {number: reason for reason, number in _REASONS.items()}
_NO_CONTRADICTION = frozenset(
    {WarningCode.FIELD_MISSING, WarningCode.NIK_REPAIRED, WarningCode.BIRTH_DATE_REPAIRED}
)
"""What should be looked at, but speaks against no other field."""


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
                    response.error.CopyFrom(_to_error(failure))
                    summary.failed_count += 1
                yield response
            yield pb.ReadCardsResponse(summary=summary)

    async def ValidateReading(
        self, request: pb.ValidateReadingRequest, context: Context
    ) -> pb.ValidateReadingResponse:
        warnings = check(_from_fields(request.ktp))
        return pb.ValidateReadingResponse(
            valid=all(warning.code in _NO_CONTRADICTION for warning in warnings),
            warnings=_to_warnings(warnings),
        )

    async def _answer(self, reading: Awaitable[TimedReading]) -> pb.CardReading:
        """Waits for a reading and translates it; counts what came of it."""
        document_type, outcome = DocumentType.UNKNOWN, "INTERNAL"
        try:
            timed = await reading
            document_type = timed.reading.document_type
            timed.reading.require_card()
            outcome = "READ"
            return _to_reading(timed)
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


def _to_error(error: MeshError) -> pb.ReadingError:
    advice = error.metadata.get("advice", "")
    return pb.ReadingError(
        code=error.kind.value,
        reason=error.reason,
        message=error.message,
        advice=_to_advice(Advice(name) for name in advice.split(",") if name),
    )


def _to_reading(timed: TimedReading) -> pb.CardReading:
    reading = timed.reading
    message = pb.CardReading(
        document_type=_DOCUMENT_TYPES[reading.document_type],
        elapsed_ms=round(timed.seconds * 1000),
        warnings=_to_warnings(reading.warnings),
        quality=_to_quality(reading.quality),
        outline=_to_points(reading.outline),
    )
    # What older callers know: the advice among the warnings.
    for one in message.quality.advice:
        message.warnings.add(reason=one.reason, message=one.message, message_en=one.message_en)
    if isinstance(reading.fields, SimFields):
        message.sim.CopyFrom(pb.SimFields(**_to_fields(reading.fields)))
    else:
        message.ktp.CopyFrom(pb.KtpFields(**_to_fields(reading.fields)))
    return message


def _to_fields(fields: KtpFields | SimFields) -> dict[str, pb.Field]:
    return {
        name: pb.Field(
            value=field.value,
            raw_value=field.raw_value,
            confidence=field.confidence,
            reason=_REASONS[field.reason],
            polygon=_to_points(field.polygon),
        )
        for name, field in fields.found()
    }


def _to_points(polygon: tuple[tuple[float, float], ...]) -> list[pb.Point]:
    return [pb.Point(x=x, y=y) for x, y in polygon]


def _to_quality(quality: Quality) -> pb.Quality:
    return pb.Quality(
        sharpness=quality.sharpness,
        brightness=quality.brightness,
        glare_share=quality.glare_share,
        saturation=quality.saturation,
        moire=quality.moire,
        card_width_px=quality.card_width_px,
        advice=_to_advice(quality.advice),
    )


def _to_advice(advice: Iterable[Advice]) -> list[pb.Advice]:
    return [
        pb.Advice(
            reason=one.value, message=ADVICE_MESSAGES[one], message_en=ADVICE_MESSAGES_EN[one]
        )
        for one in advice
    ]


def _from_fields(message: pb.KtpFields) -> KtpFields:
    return KtpFields(
        **{
            spec.name: Field(
                field.value,
                field.raw_value,
                field.confidence,
                _REASON_NAMES.get(field.reason, FieldReason.AS_READ),
            )
            for spec, field in message.ListFields()
            if field.value
        }
    )


def _to_warnings(warnings: Iterable[CardWarning]) -> list[pb.Warning]:
    return [
        pb.Warning(
            reason=warning.code.value,
            field=warning.field,
            message=warning.message,
            message_en=warning.message_en,
        )
        for warning in warnings
    ]

"""Between the contract and the engine: nothing but translation."""

from collections.abc import Iterable
from typing import Any

import grpc
from mediq.ocr_engine.v1 import ocr_engine_service_pb2 as pb
from mediq.ocr_engine.v1.ocr_engine_service_pb2_grpc import OcrEngineServiceServicer

from ocr_engine.domain import (
    ADVICE_MESSAGES,
    CardReading,
    CardWarning,
    DocumentType,
    Field,
    KtpFields,
    WarningCode,
    check,
)
from ocr_engine.worker import EngineWorker

Context = grpc.aio.ServicerContext[Any, Any]

_DOCUMENT_TYPES = {
    DocumentType.UNKNOWN: pb.DOCUMENT_TYPE_UNSPECIFIED,
    DocumentType.KTP: pb.DOCUMENT_TYPE_KTP,
}
_CONTRACT_FIELDS = frozenset(field.name for field in pb.KtpFields.DESCRIPTOR.fields)


class OcrEngineServicer(OcrEngineServiceServicer):
    """Serves mediq.ocr_engine.v1.OcrEngineService."""

    def __init__(self, worker: EngineWorker) -> None:
        """Takes the worker that reads."""
        self._worker = worker

    async def ReadCard(self, request: pb.ReadCardRequest, context: Context) -> pb.CardReading:
        timed = await self._worker.read(request.image)
        timed.reading.require_card()
        return _to_reading(timed.reading, timed.seconds)

    async def ValidateReading(
        self, request: pb.ValidateReadingRequest, context: Context
    ) -> pb.ValidateReadingResponse:
        warnings = check(_from_fields(request.ktp))
        gaps_only = all(warning.code is WarningCode.FIELD_MISSING for warning in warnings)
        return pb.ValidateReadingResponse(valid=gaps_only, warnings=_to_warnings(warnings))


def _to_reading(reading: CardReading, seconds: float) -> pb.CardReading:
    advice = [
        pb.Warning(reason=item.value, message=ADVICE_MESSAGES[item])
        for item in reading.quality.advice
    ]
    return pb.CardReading(
        document_type=_DOCUMENT_TYPES[reading.document_type],
        ktp=_to_fields(reading.fields),
        warnings=[*_to_warnings(reading.warnings), *advice],
        elapsed_ms=round(seconds * 1000),
    )


def _to_fields(fields: KtpFields) -> pb.KtpFields:
    return pb.KtpFields(
        **{
            name: pb.Field(
                value=field.value, raw_value=field.raw_value, confidence=field.confidence
            )
            for name, field in fields.found()
            if name in _CONTRACT_FIELDS
        }
    )


def _from_fields(message: pb.KtpFields) -> KtpFields:
    return KtpFields(
        **{
            spec.name: Field(field.value, field.raw_value, field.confidence)
            for spec, field in message.ListFields()
            if field.value
        }
    )


def _to_warnings(warnings: Iterable[CardWarning]) -> list[pb.Warning]:
    return [
        pb.Warning(reason=warning.code.value, field=warning.field, message=warning.message)
        for warning in warnings
    ]

"""Readings and their warnings as messages, and the other way round."""

from collections.abc import Iterable

from mediq.ocr_engine.v1 import ocr_engine_service_pb2 as pb

from mesh.errors import MeshError
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
)
from ocr_engine.serving.worker import TimedReading

_DOCUMENT_TYPES = {
    DocumentType.UNKNOWN: pb.DOCUMENT_TYPE_UNSPECIFIED,
    DocumentType.KTP: pb.DOCUMENT_TYPE_KTP,
    DocumentType.SIM: pb.DOCUMENT_TYPE_SIM,
}
_REASONS = {reason: pb.FieldReason.Value(f"FIELD_REASON_{reason.value}") for reason in FieldReason}
_REASON_NAMES = {number: reason for reason, number in _REASONS.items()}


def error_message(error: MeshError) -> pb.ReadingError:
    """Returns why a photo of a batch was not read."""
    advice = error.metadata.get("advice", "")
    return pb.ReadingError(
        code=error.kind.value,
        reason=error.reason,
        message=error.message,
        advice=_to_advice(Advice(name) for name in advice.split(",") if name),
    )


def reading_message(timed: TimedReading) -> pb.CardReading:
    """Returns a reading, with its card, quality and warnings."""
    reading = timed.reading
    message = pb.CardReading(
        document_type=_DOCUMENT_TYPES[reading.document_type],
        elapsed_ms=round(timed.seconds * 1000),
        warnings=warning_messages(reading.warnings),
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


def ktp_fields_of(message: pb.KtpFields) -> KtpFields:
    """Returns the fields of a KTP that a request gives."""
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


def warning_messages(warnings: Iterable[CardWarning]) -> list[pb.Warning]:
    """Returns what a person should look at again."""
    return [
        pb.Warning(
            reason=warning.code.value,
            field=warning.field,
            message=warning.message,
            message_en=warning.message_en,
        )
        for warning in warnings
    ]

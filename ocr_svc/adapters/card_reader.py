"""Calls ocr_engine: what stands on a card, and what is doubtful about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from mediq.ocr_engine.v1 import ocr_engine_service_pb2 as engine
from mediq.ocr_engine.v1.ocr_engine_service_pb2_grpc import OcrEngineServiceStub

from ocr_svc.domain.draft import Content
from ocr_svc.domain.driving_licence import registrable
from ocr_svc.domain.reading import CardWarning, ReadField, Reading
from ocr_svc.messages.cards import ktp_message

if TYPE_CHECKING:
    from mediq.ocr_engine.v1.ocr_engine_service_pb2_grpc import OcrEngineServiceAsyncStub

    from mesh.rpc.client import Channels


class CardReader:
    """Reads cards. Every method raises MeshError as the engine answers it."""

    def __init__(self, channels: Channels) -> None:
        """Calls through `channels`."""
        self._stub: OcrEngineServiceAsyncStub = OcrEngineServiceStub(channels.to("ocr_engine"))

    async def read(self, photo: bytes) -> Reading:
        """Returns what stands on the card."""
        found = await self._stub.ReadCard(engine.ReadCardRequest(image=photo))
        return registrable(
            Reading(
                engine.DocumentType.Name(found.document_type),
                _fields(found.sim if found.HasField("sim") else found.ktp),
                _warnings(found.warnings),
            )
        )

    async def validate(self, content: Content) -> tuple[CardWarning, ...]:
        """Returns what is doubtful about the fields as they stand."""
        request = engine.ValidateReadingRequest(ktp=ktp_message(content))
        return _warnings((await self._stub.ValidateReading(request)).warnings)


def _fields(message: engine.KtpFields | engine.SimFields) -> Mapping[str, ReadField]:
    return {
        spec.name: ReadField(
            found.value,
            found.raw_value,
            found.confidence,
            engine.FieldReason.Name(found.reason),
            tuple((point.x, point.y) for point in found.polygon),
        )
        for spec, found in message.ListFields()
    }


def _warnings(messages: Iterable[engine.Warning]) -> tuple[CardWarning, ...]:
    return tuple(
        CardWarning(one.reason, one.field, one.message, one.message_en) for one in messages
    )

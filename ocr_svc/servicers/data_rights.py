"""The RPCs of data rights: the copy of a person's data and their erasure."""

from mediq.ocr.v1 import data_rights_service_pb2 as messages
from mediq.ocr.v1.data_rights_service_pb2_grpc import DataRightsServiceServicer

from mesh.clock import timestamp
from mesh.rpc.pipeline import Context
from ocr_svc.application.request_erasure import RequestErasure
from ocr_svc.messages.data_rights import consent_record_message, erasure_message
from ocr_svc.servicers.dependencies import Dependencies


class DataRightsServicer(DataRightsServiceServicer):
    """Serves what the law lets a person ask for."""

    def __init__(self, dependencies: Dependencies) -> None:
        """Serves with the use cases of copies and erasures."""
        self._exports = dependencies.exports
        self._erasures = dependencies.erasures

    async def ExportPersonalData(
        self, request: messages.ExportPersonalDataRequest, context: Context
    ) -> messages.PersonalData:
        found = await self._exports.export(request.user_id)
        return messages.PersonalData(
            create_time=timestamp(found.time),
            record=found.record,
            consents=map(consent_record_message, found.registrations),
            tickets=found.tickets,
        )

    async def RequestErasure(
        self, request: messages.RequestErasureRequest, context: Context
    ) -> messages.Erasure:
        erasure = await self._erasures.request(RequestErasure(request.user_id, request))
        return erasure_message(erasure, request.user_id)

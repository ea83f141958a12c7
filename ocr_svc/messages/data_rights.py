"""Consents and erasures of a person as messages."""

from mediq.ocr.v1 import data_rights_service_pb2 as messages
from mediq.ocr.v1.registration_service_pb2 import ConsentPurpose

from mesh.clock import timestamp
from ocr_svc.domain.erasure import Erasure, State
from ocr_svc.domain.registration import Registration
from ocr_svc.messages.registrations import registration_state


def consent_record_message(registration: Registration) -> messages.ConsentRecord:
    """Returns what a registration proves: who may use the data for what, since when."""
    return messages.ConsentRecord(
        registration_id=registration.id,
        institution_id=registration.institution_id,
        service_id=registration.service_id,
        consent_time=timestamp(registration.consent_time),
        version=registration.consent_version,
        purposes=[ConsentPurpose.Value(one) for one in registration.consent_purposes],
        state=registration_state(registration),
    )


def erasure_message(erasure: Erasure, user_id: str) -> messages.Erasure:
    """Returns an erasure.

    Args:
        erasure: The erasure, which names nobody once it is done.
        user_id: Whose data it erases.
    """
    message = messages.Erasure(
        id=erasure.id,
        user_id=user_id,
        state=_state(erasure),
        create_time=timestamp(erasure.create_time),
    )
    if erasure.retain_time is not None:
        message.retain_time.CopyFrom(timestamp(erasure.retain_time))
    return message


def _state(erasure: Erasure) -> messages.ErasureState.ValueType:
    if erasure.state is State.ERASED:
        return messages.ERASURE_STATE_ERASED
    if erasure.state is State.ACCEPTED or erasure.retain_time is None:
        return messages.ERASURE_STATE_ACCEPTED
    return messages.ERASURE_STATE_RETAINED

"""Drafts, consents and registrations as messages."""

from mediq.ocr.v1 import registration_service_pb2 as messages
from mediq.ocr_engine.v1 import ocr_engine_service_pb2 as engine
from mediq.queue.v1.queue_pb2 import Ticket
from mediq.user.v1.auth_service_pb2 import NarrowSession

from mesh.clock import timestamp
from ocr_svc.domain.consent import Consent
from ocr_svc.domain.draft import Draft
from ocr_svc.domain.registration import Registration, State
from ocr_svc.messages.cards import ktp_message, sim_message


def draft_message(draft: Draft) -> messages.Draft:
    """Returns a draft that waits for its confirmation."""
    content = draft.content
    assert content is not None
    message = messages.Draft(
        id=draft.id,
        document_type=engine.DocumentType.Value(content.reading.document_type),
        ktp=ktp_message(content),
        sim=sim_message(content),
        warnings=[engine.Warning(**vars(one)) for one in content.warnings],
        expire_time=timestamp(draft.expire_time),
    )
    for one in content.corrections:
        message.corrections.add(
            field=one.field,
            read_value=one.read_value,
            corrected_value=one.corrected_value,
            correct_time=timestamp(one.time),
        )
    return message


def consent_message(consent: Consent) -> messages.Consent:
    """Returns one version of the text that is agreed to."""
    return messages.Consent(
        version=consent.version,
        text=consent.text,
        text_en=consent.text_en,
        terms=[
            messages.ConsentTerm(
                purpose=messages.ConsentPurpose.Value(one.purpose),
                text=one.text,
                text_en=one.text_en,
                required=one.required,
            )
            for one in consent.terms
        ],
    )


def registration_state(registration: Registration) -> messages.RegistrationState.ValueType:
    """Returns how far a registration has come."""
    return messages.RegistrationState.Value(f"REGISTRATION_STATE_{registration.state}")


def registration_message(
    registration: Registration, session: NarrowSession | None
) -> messages.Registration:
    """Returns a registration, with its ticket once it is completed.

    Args:
        registration: The registration.
        session: Opens the tickets of the person; None without one.
    """
    message = messages.Registration(
        id=registration.id,
        draft_id=registration.draft_id,
        state=registration_state(registration),
        failure_reason=registration.failure_reason,
        user_id=registration.user_id,
    )
    if registration.state is State.COMPLETED:
        message.ticket.CopyFrom(Ticket.FromString(registration.ticket))
    if session is not None:
        message.session.CopyFrom(session)
    return message

"""The fields of a card as messages, corrections included."""

from mediq.ocr_engine.v1 import ocr_engine_service_pb2 as engine

from ocr_svc.domain.draft import CORRECTABLE, Content, current_fields
from ocr_svc.domain.driving_licence import SEXES
from ocr_svc.domain.reading import SIM, ReadField

_KTP_NAMES = frozenset(engine.KtpFields.DESCRIPTOR.fields_by_name)
_SIM_NAMES = frozenset(engine.SimFields.DESCRIPTOR.fields_by_name)
_SEXES_OF_SIM = {ktp: sim for sim, ktp in SEXES.items()}


def _field(found: ReadField) -> engine.Field:
    return engine.Field(
        value=found.value,
        raw_value=found.raw_value,
        confidence=found.confidence,
        reason=engine.FieldReason.Value(found.reason or "FIELD_REASON_UNSPECIFIED"),
        polygon=[engine.Point(x=x, y=y) for x, y in found.polygon],
    )


def ktp_message(content: Content) -> engine.KtpFields:
    """Returns the fields as they stand, corrections included.

    Of a SIM only those that a registration needs.
    """
    # A SIM has a validity of its own, which would look like that of a KTP.
    names = CORRECTABLE if content.reading.document_type == SIM else _KTP_NAMES
    fields = current_fields(content)
    return engine.KtpFields(**{name: _field(fields[name]) for name in fields.keys() & names})


def sim_message(content: Content) -> engine.SimFields | None:
    """Returns the fields of a SIM as they stand, corrections included, in its own words.

    None for a KTP.
    """
    if content.reading.document_type != SIM:
        return None
    fields = current_fields(content)
    message = engine.SimFields(
        **{name: _field(fields[name]) for name in fields.keys() & _SIM_NAMES}
    )
    if message.HasField("jenis_kelamin"):
        sex = message.jenis_kelamin
        sex.value = _SEXES_OF_SIM.get(sex.value, sex.value)
    return message

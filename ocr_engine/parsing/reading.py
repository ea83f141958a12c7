"""Reads a card of either kind."""

from ocr_engine.parsing.fields.card import CardReading, DocumentType
from ocr_engine.parsing.fields.text import TextBox, group_rows
from ocr_engine.parsing.ktp import read_ktp
from ocr_engine.parsing.sim import is_title, read_sim

KTP_FIELDS = ("rt_rw", "kel_desa", "kecamatan", "agama", "status_perkawinan", "kewarganegaraan")
"""What no driving licence says."""
KTP_FIELDS_MIN = 3
"""With so many of these a card is no licence, unless a title says so."""


def read_card(boxes: list[TextBox], hint: DocumentType = DocumentType.UNKNOWN) -> CardReading:
    """Reads an identity card or a driving licence; UNKNOWN when the text is neither.

    Args:
        boxes: Text with its place; the card is upright, its scale does not matter.
        hint: What a detector took the picture for. It decides where the text does not, and
            fewer labels are needed; what is clearly printed outweighs it.
    """
    ktp = read_ktp(boxes, hinted=hint is DocumentType.KTP)
    sim = read_sim(boxes, hinted=hint is DocumentType.SIM)
    if DocumentType.UNKNOWN in (ktp.document_type, sim.document_type):
        return sim if ktp.document_type is DocumentType.UNKNOWN else ktp
    if any(is_title(row.text) for row in group_rows(boxes)):
        return sim
    only_ktp = {name for name, _ in ktp.fields.found()}.intersection(KTP_FIELDS)
    return ktp if len(only_ktp) >= KTP_FIELDS_MIN or hint is DocumentType.KTP else sim

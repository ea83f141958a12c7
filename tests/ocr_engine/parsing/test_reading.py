"""Telling the two kinds of card apart."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_engine.parsing import DocumentType, TextBox, read_card, read_ktp, read_sim
from tests.ocr_engine.layout import NIK, bilingual_sim, box, card, labelled_sim, numbered_sim

LICENCES = [labelled_sim(), numbered_sim(), bilingual_sim()]


@pytest.mark.parametrize("hint", list(DocumentType))
def test_a_clear_identity_card_is_one_whatever_the_detector_saw(hint: DocumentType) -> None:
    assert read_card(card(), hint) == read_ktp(card())


@pytest.mark.parametrize("hint", list(DocumentType))
@pytest.mark.parametrize("boxes", LICENCES)
def test_a_clear_licence_is_one_whatever_the_detector_saw(
    boxes: list[TextBox], hint: DocumentType
) -> None:
    assert read_card(boxes, hint) == read_sim(boxes)


@pytest.mark.parametrize("hint", list(DocumentType))
def test_other_text_is_neither(hint: DocumentType) -> None:
    boxes = [box(text, 30, 40 * index) for index, text in enumerate(["MENU", "TEH 5.000"])]

    assert read_card(boxes, hint).document_type is DocumentType.UNKNOWN
    assert read_card([], hint).document_type is DocumentType.UNKNOWN


def test_a_hint_makes_up_for_lost_labels_of_an_identity_card() -> None:
    boxes = [box("NIK", 30, 100), box(NIK, 278, 100)]

    assert read_card(boxes).document_type is DocumentType.UNKNOWN
    assert read_card(boxes, DocumentType.KTP).document_type is DocumentType.KTP


def test_a_hint_makes_up_for_a_lost_title_of_a_licence() -> None:
    texts = ["Nama", "Alamat", "Jenis Kelamin", "Pekerjaan"]
    boxes = [box(text, 30, 40 * index) for index, text in enumerate(texts)]

    assert read_card(boxes).document_type is DocumentType.UNKNOWN
    assert read_card(boxes, DocumentType.SIM).document_type is DocumentType.SIM


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (DocumentType.SIM, DocumentType.SIM),
        (DocumentType.KTP, DocumentType.KTP),
        (DocumentType.UNKNOWN, DocumentType.SIM),
    ],
)
def test_the_hint_decides_where_the_text_does_not(
    hint: DocumentType, expected: DocumentType
) -> None:
    """Without its title a licence from July 2024 has hardly a label that a KTP lacks."""
    assert read_card(bilingual_sim(titles=()), hint).document_type is expected


WORDS = (
    "NIK", "Nama", ":", "", "-", "1.", "3. O - PRIA", NIK, "20-09-1950", "SURAT IZIN MENGEMUDI",
    "Alamat", "Gol. Darah", "1234-5678-901234", "PROVINSI ACEH", "Berlaku s/d", "A", "\N{SNOWMAN}",
    "STRA\N{LATIN SMALL LETTER SHARP S}E 01-01-2000", "\N{LATIN SMALL LETTER DOTLESS I}",
)  # fmt: skip
SIDES = st.floats(0, 1000, allow_nan=False)
ANY_BOX = st.builds(
    lambda text, confidence, left, top, width, height: TextBox(
        text, confidence, left, top, left + width, top + height
    ),
    st.sampled_from(WORDS) | st.text(max_size=20),
    st.floats(0, 1),
    SIDES,
    SIDES,
    st.sampled_from([0.0, 20.0, 200.0]),
    st.sampled_from([0.0, 4.0, 26.0]),
)


@settings(max_examples=300, deadline=None)
@given(boxes=st.lists(ANY_BOX, max_size=30), hint=st.sampled_from(DocumentType))
def test_any_text_can_be_read(boxes: list[TextBox], hint: DocumentType) -> None:
    for _, field in read_card(boxes, hint).fields.found():
        assert 0 <= field.confidence <= 1
        assert field.value
        assert len(field.polygon) == 4
        assert len(field.chars) in (0, len(field.value))

"""From the recognizer's numbers to text."""

import numpy as np
import pytest

from ocr_engine.parsing import DIGITS
from ocr_engine.vision.networks import CHARACTERS
from ocr_engine.vision.recognizer import ALPHABET, BATCH_SIZE, ReadBox, decode, read_crops
from tests.ocr_engine.doubles import ToldNetworks, logits


def test_text_and_chances() -> None:
    text, confidence, chars = decode(logits("JL. MELATI NO. 46"))

    assert text == "JL. MELATI NO. 46"
    assert len(chars) == len(text)
    assert confidence == pytest.approx(float(np.prod(chars)))
    assert confidence > 0.95


def test_doubled_letters_stay_double() -> None:
    assert decode(logits("BII 0011"))[0] == "BII 0011"


def test_outer_blanks_are_dropped_with_their_chances() -> None:
    text, _, chars = decode(logits(" NIK "))

    assert (text, len(chars)) == ("NIK", 3)


def test_no_text_has_no_confidence() -> None:
    assert decode(np.asarray([[9.0] + [0.0] * len(CHARACTERS)] * 4, np.float32)) == ("", 0.0, ())


def test_a_rival_lowers_the_confidence() -> None:
    sure, doubtful = decode(logits("0"))[1], decode(logits("0", rival="O"))[1]

    assert doubtful < 0.8 < sure


def test_only_allowed_characters_are_chosen() -> None:
    steps = logits("O1", rival="0")

    assert decode(steps)[0] == "O1"
    text, confidence, _ = decode(steps, DIGITS)
    assert text == "01"
    assert confidence < 0.5, "the letter was likelier: the digit cannot be sure"
    assert decode(logits("€"), ALPHABET)[0] == ""


def test_a_box_reads_itself_again() -> None:
    steps = logits("32O1", rival="0")
    box = ReadBox("32O1", 0.9, 1, 2, 3, 4, (0.9,) * 4, steps=steps)

    again = box.under(DIGITS)
    spaced = ReadBox("012 / 010", 0.9, 1, 2, 3, 4, steps=logits("012 / 010"))

    assert spaced.under(DIGITS | {"/"}).confidence > 0.95
    assert again.text == "3201"
    assert (again.left, again.bottom) == (1, 4)
    assert ReadBox("A", 0.9, 1, 2, 3, 4).under(DIGITS).text == "A"
    assert box.cut(1).under(DIGITS).text == "2O1", "a part has no steps of its own"


def test_crops_come_back_in_their_order() -> None:
    told = ToldNetworks(text="AB")
    crops = [np.zeros((32, width), np.uint8) for width in (300, 20, 150) * BATCH_SIZE]

    answers = read_crops(crops, told)

    assert [decode(steps)[0] for steps in answers] == ["AB"] * len(crops)
    assert all(shape[0] <= BATCH_SIZE and shape[3] % 32 == 0 for shape in told.batches)
    assert sum(shape[0] for shape in told.batches) == len(crops)
    assert read_crops([], told) == []

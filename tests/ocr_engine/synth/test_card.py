"""Drawn cards and their photos."""

import numpy as np
from PIL import Image

from ocr_engine.imaging import decode
from ocr_engine.synth import (
    CARD_HEIGHT,
    CARD_WIDTH,
    draw_card,
    encode_jpeg,
    photograph,
    random_record,
)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def test_the_same_seed_draws_the_same_card() -> None:
    record = random_record(1)
    first = draw_card(record, 1)

    assert first.size == (CARD_WIDTH, CARD_HEIGHT)
    assert (pixels(first) == pixels(draw_card(record, 1))).all()
    assert (pixels(first) != pixels(draw_card(record, 2))).any()


def test_another_record_gives_another_card() -> None:
    assert (pixels(draw_card(random_record(1), 1)) != pixels(draw_card(random_record(2), 1))).any()


def test_every_card_is_stamped_across_the_photo() -> None:
    for seed in range(5):
        photo = pixels(draw_card(random_record(seed), seed))[130:410, 740:945]
        red = (photo[..., 0] > 170) & (photo[..., 1] < 80) & (photo[..., 2] < 80)
        assert red.mean() > 0.01


def test_a_photo_has_a_table_around_the_card() -> None:
    card = draw_card(random_record(1), 1)

    photo = photograph(card, 1, margin_share=0.1)

    assert photo.size == (CARD_WIDTH + 200, CARD_HEIGHT + 200)
    assert pixels(photo)[:80].std(axis=(0, 1)).max() < 12
    assert (pixels(photo) == pixels(photograph(card, 1, margin_share=0.1))).all()


def test_a_photo_survives_its_journey_as_jpeg() -> None:
    photo = photograph(draw_card(random_record(1), 1), 1)

    assert np.abs(decode(encode_jpeg(photo)).astype(int) - pixels(photo)).mean() < 4

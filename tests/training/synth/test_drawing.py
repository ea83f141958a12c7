"""Drawn cards: what stands on them is what the record says, and where it says."""

import numpy as np
import pytest

from training.synth import (
    CARD_HEIGHT,
    CARD_WIDTH,
    Drawing,
    Role,
    SimLayout,
    Split,
    draw_card,
    random_record,
    random_sim_record,
    styles,
)
from training.synth.styles import FontMissing, font, template


def values(drawing: Drawing) -> str:
    return " ".join(text.text for text in drawing.texts if text.role is Role.VALUE)


@pytest.mark.parametrize("seed", range(8))
def test_a_ktp_shows_every_field(seed: int) -> None:
    record = random_record(seed)
    shown = values(draw_card(record, seed)).replace(" ", "")

    for name, value in vars(record).items():
        assert value.replace(" ", "") in shown, name


@pytest.mark.parametrize("layout", list(SimLayout))
@pytest.mark.parametrize("seed", range(4))
def test_a_licence_shows_every_field(seed: int, layout: SimLayout) -> None:
    record = random_sim_record(seed, layout)
    shown = values(draw_card(record, seed)).replace(" ", "")

    for name, value in vars(record).items():
        if name != "layout":
            assert value.replace(" ", "") in shown, name


@pytest.mark.parametrize("seed", range(6))
def test_text_stands_where_it_is_said_to_stand(seed: int) -> None:
    drawing = draw_card(random_record(seed), seed)
    grey = np.asarray(drawing.image.convert("L")).astype(int)

    for text in drawing.texts:
        assert 0 <= text.left < text.right <= CARD_WIDTH, text
        assert 0 <= text.top < text.bottom <= CARD_HEIGHT, text
        if text.text == "-":
            continue
        patch = grey[round(text.top) : round(text.bottom) + 1, round(text.left) : round(text.right)]
        above = grey[max(0, round(text.top) - 3) : round(text.top) - 1]
        assert patch.min() < 90, text
        assert above.size


def test_the_same_seed_draws_the_same_card() -> None:
    first, second = (draw_card(random_record(4), 4).pixels for _ in range(2))

    assert (first == second).all()


def test_the_portrait_says_the_birth_year() -> None:
    for seed in range(6):
        record = random_record(seed)
        drawing = draw_card(record, seed)
        left, top, *_ = drawing.style.template.photo
        red, _, blue = drawing.pixels[round(top * CARD_HEIGHT) + 8, round(left * CARD_WIDTH) + 8]
        assert (red > blue) == (int(record.tanggal_lahir[-4:]) % 2 == 1)


def test_looks_are_kept_apart() -> None:
    for one in Split:
        for other in Split:
            if one is other:
                continue
            assert not set(styles._TYPEFACES[one]) & set(styles._TYPEFACES[other])
            assert not set(styles._TEMPLATES[one]) & set(styles._TEMPLATES[other])
            assert not set(styles._BACKGROUNDS[one]) & set(styles._BACKGROUNDS[other])
            assert not set(styles._TABLES[one]) & set(styles._TABLES[other])
    assert len({template(number) for number in range(24)}) == 24


@pytest.mark.parametrize("name", ["no_such_package:A.ttf", "own:No.ttf", "truetype/no/No.ttf"])
def test_a_missing_font_says_what_to_install(name: str) -> None:
    with pytest.raises(FontMissing, match="install"):
        font(name, 20)

"""Makes a drawn card look like a photo of an upright card on a table."""

import io

import numpy as np
from PIL import Image, ImageFilter

from ocr_engine.synth.card import CARD_WIDTH
from ocr_engine.synth.records import seeded


def photograph(
    card: Image.Image,
    seed: int,
    *,
    margin_share: float = 0.06,
    blur_radius_px: float = 0.5,
    noise_sigma: float = 4.0,
) -> Image.Image:
    """Puts the card on a table, then adds light blur, uneven light and sensor noise."""
    rng = seeded("photo", seed)
    margin = round(CARD_WIDTH * margin_share)
    table = tuple(rng.randrange(60, 190) for _ in range(3))
    scene = Image.new("RGB", (card.width + 2 * margin, card.height + 2 * margin), table)
    scene.paste(card, (margin, margin))
    scene = scene.filter(ImageFilter.GaussianBlur(blur_radius_px))
    pixels = np.asarray(scene).astype(np.float32)
    slope = rng.uniform(-0.08, 0.08)
    pixels *= np.linspace(1 - slope, 1 + slope, scene.width, dtype=np.float32)[None, :, None]
    grain = np.random.default_rng(rng.randrange(2**32))
    pixels += grain.normal(0.0, noise_sigma, pixels.shape).astype(np.float32)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def encode_jpeg(image: Image.Image, quality: int = 85) -> bytes:
    """Encodes an image as a phone would send it."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()

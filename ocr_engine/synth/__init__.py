"""Drawn specimen cards: consistent records, a printed look, mild photo effects."""

from ocr_engine.synth.card import CARD_HEIGHT, CARD_WIDTH, draw_card
from ocr_engine.synth.photo import encode_jpeg, photograph
from ocr_engine.synth.records import CardRecord, random_record

__all__ = [
    "CARD_HEIGHT",
    "CARD_WIDTH",
    "CardRecord",
    "draw_card",
    "encode_jpeg",
    "photograph",
    "random_record",
]

"""Readings, and an engine that gives them."""

import threading

from ocr_engine.parsing import (
    Advice,
    CardReading,
    CardWarning,
    DocumentType,
    Field,
    FieldReason,
    KtpFields,
    Quality,
    SeveralCards,
    SimFields,
    WarningCode,
)
from ocr_engine.vision.imaging import CorruptImage
from tests.support.waiting import PATIENCE_SECONDS

CORNERS = ((0.125, 0.25), (0.875, 0.25), (0.875, 0.75), (-0.125, 0.75))
KTP = CardReading(
    DocumentType.KTP,
    KtpFields(
        nik=Field("3175036009500008", "317503600950000B", 0.75, FieldReason.REPAIRED, CORNERS),
        tanggal_terbit=Field("01-02-2018", "01-02-2018", 0.5),
    ),
    (CardWarning(WarningCode.NIK_REPAIRED, "nik", "Periksa.", "Check it."),),
    Quality(
        sharpness=150.0,
        brightness=90.5,
        glare_share=0.25,
        saturation=40.0,
        moire=0.5,
        card_width_px=812.0,
        advice=(Advice.GLARE,),
    ),
    {"detect": 0.02, "read": 0.3},
    CORNERS,
)
SIM = CardReading(
    DocumentType.SIM,
    SimFields(
        nomor_sim=Field("1234-5678-901234", "1234-5678-901234", 0.5),
        golongan=Field("BI UMUM", "BI UMUM", 0.5, FieldReason.MATCHED),
        jenis_kelamin=Field("PRIA", "PRIA", 0.5),
        wilayah=Field("JAWA BARAT", "JAWA BARAT", 0.5),
    ),
)
NOTHING = CardReading(
    DocumentType.UNKNOWN, quality=Quality(advice=(Advice.BLURRED, Advice.NO_CARD))
)


class FakeEngine:
    """Knows a few photos by their bytes; what is long waits for the test."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.started = threading.Event()
        self.seen: list[bytes] = []

    def read_card(self, data: bytes) -> CardReading:
        name = data[:8].rstrip(b"\0")
        self.started.set()
        if name == b"long":
            self.go.wait(PATIENCE_SECONDS)
        self.seen.append(name)
        if name == b"broken":
            raise CorruptImage("The photo is damaged.")
        if name == b"two":
            raise SeveralCards
        if name == b"bug":
            raise ZeroDivisionError("3175036009500008")
        return {b"sim": SIM, b"nothing": NOTHING}.get(name, KTP)

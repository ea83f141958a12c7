"""The result of a reading: fields, how sure they are, and what is odd about them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from enum import StrEnum

from mesh.errors import MeshError, StatusCode
from ocr_engine.parsing.fields.text import Polygon


class DocumentType(StrEnum):
    """Names the kind of document that was found in a picture."""

    UNKNOWN = "UNKNOWN"
    KTP = "KTP"
    """An identity card."""
    SIM = "SIM"
    """A driving licence."""


class FieldReason(StrEnum):
    """Says why a value is what it is."""

    AS_READ = "AS_READ"
    """The text as it was read, but for case and blanks."""
    NORMALIZED = "NORMALIZED"
    """Letters that look like digits, or lost separators, were rewritten."""
    MATCHED = "MATCHED"
    """The nearest entry of a closed or official list."""
    REPAIRED = "REPAIRED"
    """Unsurely read digits were set from another field of the card, which says the same."""
    UNPARSED = "UNPARSED"
    """Does not have the form that the field must have; the text as it was read."""


class WarningCode(StrEnum):
    """Names what a person should check again."""

    FIELD_MISSING = "FIELD_MISSING"
    FIELD_UNPARSED = "FIELD_UNPARSED"
    NIK_INVALID = "NIK_INVALID"
    NIK_BIRTH_DATE_MISMATCH = "NIK_BIRTH_DATE_MISMATCH"
    NIK_SEX_MISMATCH = "NIK_SEX_MISMATCH"
    NIK_REPAIRED = "NIK_REPAIRED"
    BIRTH_DATE_REPAIRED = "BIRTH_DATE_REPAIRED"
    REGION_CODE_UNKNOWN = "REGION_CODE_UNKNOWN"


class Advice(StrEnum):
    """Says how to take a better photo."""

    BLURRED = "BLURRED"
    TOO_DARK = "TOO_DARK"
    GLARE = "GLARE"
    TOO_SMALL = "TOO_SMALL"
    CROPPED = "CROPPED"
    PHOTOCOPY = "PHOTOCOPY"
    SCREEN = "SCREEN"
    """Photographed from a screen."""
    NO_CARD = "NO_CARD"


@dataclass(frozen=True)
class Field:
    """Holds one value of a card."""

    value: str
    raw_value: str
    """The text as it was read, before any rule touched it."""
    confidence: float
    """Chance, from 0 to 1, that the value is exactly what the card says."""
    reason: FieldReason = FieldReason.AS_READ
    polygon: Polygon = ()
    """The corners of the rectangle that the text came from, clockwise from its top left."""
    chars: tuple[float, ...] = ()
    """How surely each character of `value` was read; only for numbers and birth dates."""


@dataclass(frozen=True)
class _Fields:
    """Holds what all cards' fields have in common."""

    def found(self) -> Iterator[tuple[str, Field]]:
        """Goes through the fields that were found, in the order of the card."""
        for spec in fields(self):
            value = getattr(self, spec.name)
            if value is not None:
                yield spec.name, value


@dataclass(frozen=True)
class KtpFields(_Fields):
    """Holds the fields of an identity card, None where nothing was found."""

    nik: Field | None = None
    nama: Field | None = None
    tempat_lahir: Field | None = None
    tanggal_lahir: Field | None = None
    jenis_kelamin: Field | None = None
    golongan_darah: Field | None = None
    alamat: Field | None = None
    rt_rw: Field | None = None
    kel_desa: Field | None = None
    kecamatan: Field | None = None
    agama: Field | None = None
    status_perkawinan: Field | None = None
    pekerjaan: Field | None = None
    kewarganegaraan: Field | None = None
    berlaku_hingga: Field | None = None
    provinsi: Field | None = None
    kota: Field | None = None
    tempat_terbit: Field | None = None
    tanggal_terbit: Field | None = None


@dataclass(frozen=True)
class SimFields(_Fields):
    """Holds the fields of a driving licence, None where nothing was found."""

    nomor_sim: Field | None = None
    """12 or 14 digits, with dashes where they are printed, or since July 2024 the NIK."""
    golongan: Field | None = None
    """The class of vehicles, such as `A` or `BI UMUM`."""
    nama: Field | None = None
    tempat_lahir: Field | None = None
    tanggal_lahir: Field | None = None
    jenis_kelamin: Field | None = None
    """`PRIA` or `WANITA`, as it is printed."""
    golongan_darah: Field | None = None
    alamat: Field | None = None
    pekerjaan: Field | None = None
    wilayah: Field | None = None
    """The police region that issued it, as it is printed."""
    berlaku_hingga: Field | None = None


CardFields = KtpFields | SimFields


@dataclass(frozen=True)
class CardWarning:
    """Warns of one thing that is odd."""

    code: WarningCode
    field: str
    message: str
    """For the patient, in Indonesian; names no personal value."""
    message_en: str
    """The same in English."""


@dataclass(frozen=True)
class Quality:
    """Describes the picture itself."""

    sharpness: float = 0.0
    """Steepness of edges at a fine scale over that at a coarse one; about 1.2 to 3.4."""
    brightness: float = 0.0
    """Grey level that a quarter of the card exceeds, 0 to 255."""
    glare_share: float = 0.0
    """Share of pixels that are burnt out."""
    advice: tuple[Advice, ...] = ()
    saturation: float = 0.0
    """How colourful the card is; a photocopy is not."""
    moire: float = 0.0
    """How strongly the pixels of a screen show."""
    card_width_px: float = 0.0
    """Width of the card in the photo, in pixels."""


@dataclass(frozen=True)
class CardReading:
    """Holds all that was read from one picture."""

    document_type: DocumentType
    fields: CardFields = KtpFields()
    warnings: tuple[CardWarning, ...] = ()
    quality: Quality = Quality()
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    """How long each step of the reading took."""
    outline: Polygon = ()
    """The corners of the card in the photo, clockwise from its own top left."""

    def require_card(self) -> None:
        """Refuses a picture without a card.

        Raises:
            NoCard: no document was recognised.
        """
        if self.document_type is DocumentType.UNKNOWN:
            raise NoCard(self.quality.advice)

    def birth_date(self) -> date | None:
        """Gives the printed birth date, or None where it cannot be one."""
        printed = self.fields.tanggal_lahir
        return parse_printed_date(printed.value) if printed else None


class NoCard(MeshError):
    """Reports that no identity card or driving licence can be recognised on the photo."""

    def __init__(self, advice: Sequence[Advice]) -> None:
        """Keeps the advice for a better photo."""
        super().__init__(
            "no identity card or driving licence was found; photograph the whole card from above",
            StatusCode.INVALID_ARGUMENT,
            "NO_CARD",
            metadata={"advice": ",".join(advice)},
        )


class SeveralCards(MeshError):
    """Reports that more than one card lies on the photo, and nothing says which one is meant."""

    def __init__(self) -> None:
        """Says what to do instead."""
        super().__init__(
            "several cards were found; photograph one card at a time",
            StatusCode.INVALID_ARGUMENT,
            "SEVERAL_CARDS",
        )


def parse_printed_date(text: str) -> date | None:
    """Reads DD-MM-YYYY; None when it names no day of the calendar."""
    day, _, rest = text.partition("-")
    month, _, year = rest.partition("-")
    if not (day.isdecimal() and month.isdecimal() and year.isdecimal() and len(year) == 4):
        return None
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None

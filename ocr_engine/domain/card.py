"""The result of a reading: fields, how sure they are, and what is odd about them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from enum import StrEnum
from types import MappingProxyType

from mesh.errors import Kind, MeshError


class DocumentType(StrEnum):
    """The kind of document that was found in a picture."""

    UNKNOWN = "UNKNOWN"
    KTP = "KTP"


class FieldReason(StrEnum):
    """Why a value is what it is."""

    AS_READ = "AS_READ"
    """The text as it was read, but for case and blanks."""
    NORMALIZED = "NORMALIZED"
    """Letters that look like digits, or lost separators, were rewritten."""
    MATCHED = "MATCHED"
    """The nearest entry of a closed or official list."""
    UNPARSED = "UNPARSED"
    """Does not have the form that the field must have; the text as it was read."""


class WarningCode(StrEnum):
    """What a person should look at again."""

    FIELD_MISSING = "FIELD_MISSING"
    FIELD_UNPARSED = "FIELD_UNPARSED"
    NIK_INVALID = "NIK_INVALID"
    NIK_BIRTH_DATE_MISMATCH = "NIK_BIRTH_DATE_MISMATCH"
    NIK_SEX_MISMATCH = "NIK_SEX_MISMATCH"


class Advice(StrEnum):
    """How to take a better photo."""

    BLURRED = "BLURRED"
    TOO_DARK = "TOO_DARK"
    GLARE = "GLARE"
    TOO_SMALL = "TOO_SMALL"


ADVICE_MESSAGES: Mapping[Advice, str] = MappingProxyType(
    {
        Advice.BLURRED: "Foto buram; pegang kamera dengan tenang dan fokuskan pada kartu.",
        Advice.TOO_DARK: "Foto terlalu gelap; cari tempat yang lebih terang.",
        Advice.GLARE: "Ada pantulan cahaya; miringkan kartu sedikit atau matikan lampu kilat.",
        Advice.TOO_SMALL: "Kartu terlalu kecil pada foto; dekatkan kamera.",
    }
)
"""The advice as it is given to a patient."""


@dataclass(frozen=True)
class Field:
    """One value of a card."""

    value: str
    raw_value: str
    """The text as it was read, before any rule touched it."""
    confidence: float
    """From 0 to 1; the least sure part decides."""
    reason: FieldReason = FieldReason.AS_READ


@dataclass(frozen=True)
class KtpFields:
    """The fields of an identity card, None where nothing was found."""

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

    def found(self) -> Iterator[tuple[str, Field]]:
        """Goes through the fields that were found, in the order of the card."""
        for spec in fields(self):
            value = getattr(self, spec.name)
            if value is not None:
                yield spec.name, value


@dataclass(frozen=True)
class CardWarning:
    """One thing that is odd."""

    code: WarningCode
    field: str
    message: str
    """For the patient, in Indonesian; names no personal value."""


@dataclass(frozen=True)
class Quality:
    """What the picture itself is like."""

    sharpness: float = 0.0
    brightness: float = 0.0
    glare_share: float = 0.0
    advice: tuple[Advice, ...] = ()


@dataclass(frozen=True)
class CardReading:
    """All that one picture told."""

    document_type: DocumentType
    fields: KtpFields = KtpFields()
    warnings: tuple[CardWarning, ...] = ()
    quality: Quality = Quality()

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
    """No identity card can be recognised on the photo."""

    def __init__(self, advice: Sequence[Advice]) -> None:
        """Keeps the advice for a better photo."""
        super().__init__(
            "no identity card was found; photograph the whole card, upright and from above",
            Kind.INVALID_ARGUMENT,
            "NO_CARD",
            metadata={"advice": ",".join(advice)},
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

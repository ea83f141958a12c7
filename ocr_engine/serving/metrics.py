"""What the reader measures of itself. No attribute holds what a card says."""

from collections.abc import Mapping

from opentelemetry.metrics import Meter

from mesh.observability.metrics import SECONDS


class EngineMetrics:
    """Holds the instruments of the reader."""

    def __init__(self, meter: Meter) -> None:
        """Makes them."""
        self._stage = meter.create_histogram(
            "mediq.ocr_engine.stage.duration",
            unit="s",
            description="Time of one stage of a reading.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._reading = meter.create_histogram(
            "mediq.ocr_engine.reading.duration",
            unit="s",
            description="Time of a whole reading, waiting not included.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._waiting = meter.create_histogram(
            "mediq.ocr_engine.waiting.duration",
            unit="s",
            description="Time that a photo waited for its turn.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._readings = meter.create_counter(
            "mediq.ocr_engine.readings", description="Photos by what came of them."
        )
        self._backlog = meter.create_up_down_counter(
            "mediq.ocr_engine.backlog", description="Photos that wait or are being read."
        )

    def waited(self, kind: str, seconds: float) -> None:
        """Counts how long a photo waited for its turn; `kind` is single or batch."""
        self._waiting.record(seconds, {"kind": kind})

    def read(self, stage_seconds: Mapping[str, float], seconds: float) -> None:
        """Measures the reading of a photo, whether a card was on it or not.

        Args:
            stage_seconds: Time of each stage by its name.
            seconds: Time of the whole.
        """
        self._reading.record(seconds)
        for stage, part in stage_seconds.items():
            self._stage.record(part, {"stage": stage})

    def answered(self, document_type: str, outcome: str) -> None:
        """Counts an answer to a caller: READ, or the reason of the error."""
        self._readings.add(1, {"document_type": document_type, "outcome": outcome})

    def backlog(self, change: int) -> None:
        """Counts photos that came or went."""
        self._backlog.add(change)

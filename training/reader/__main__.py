"""Makes all weights again: python -m training.reader FOLDER. Takes hours on two cores.

What is found in the folder from an earlier, broken run is made again.
"""

import sys
from pathlib import Path

from training.reader import corners, detector, detector_data, export, lines, recognizer, text_data


def main(folder: Path) -> None:
    """Draws the photos, trains the networks and exports them to `ocr_engine/weights`."""
    photos, pages = folder / "photos", folder / "pages"
    detector_data.write_all(photos)
    text_data.write_all(pages)
    export.export(
        detector.train(photos), corners.train(photos), lines.train(pages), recognizer.train(pages)
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())

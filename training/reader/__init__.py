"""Training of the networks in `ocr_engine/weights`. Needs the packages of the `train` extra."""

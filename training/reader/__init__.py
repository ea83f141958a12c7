"""Makes the weights in `ocr_engine/weights` anew. Needs the packages of the `train` extra."""

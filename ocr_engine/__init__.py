"""The OCR engine: a photo of an identity card goes in, typed fields come out."""

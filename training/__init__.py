"""What draws cards and makes the weights of the card reader. Not in any run-time."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
"""The trained weights as halves; what is exported of them is in the reader's package."""

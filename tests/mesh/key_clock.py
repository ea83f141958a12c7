"""The time as the key files see it."""

import time

import pytest


class Clock:
    """The time of the keys, moved by tests; ciphers look at their file every time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.offset = 0.0
        real = time.time
        monkeypatch.setattr("time.time", lambda: real() + self.offset)
        monkeypatch.setattr("mesh.encryption.field_cipher.REREAD_SECONDS", -1.0)

    def pass_(self, seconds: float) -> None:
        self.offset += seconds

"""The time as the key files and tokens see it, in commands too."""

import datetime
import time
from types import SimpleNamespace

import pytest


class Clock:
    """The time of keys and tokens, moved by tests; each reader polls its file every time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.offset = 0.0
        real = time.time
        monkeypatch.setattr("time.time", lambda: real() + self.offset)

        class Moved(datetime.datetime):
            @classmethod
            def now(cls, tz: datetime.tzinfo | None = None) -> "Moved":
                return cls.fromtimestamp(time.time(), tz)

        # A command takes no clock: the one that all of the kit has by default is moved.
        moved = SimpleNamespace(datetime=Moved, UTC=datetime.UTC)
        monkeypatch.setattr("mesh.clock.datetime", moved)
        monkeypatch.setattr("jwt.api_jwt.datetime", Moved)
        monkeypatch.setattr("mesh.identity.tokens.REREAD_SECONDS", -1.0)
        monkeypatch.setattr("mesh.encryption.field_cipher.REREAD_SECONDS", -1.0)

    def pass_(self, seconds: float) -> None:
        self.offset += seconds

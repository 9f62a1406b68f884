"""What a holder with secrets does with its program's output before anybody gets it, and with `$QD_OUTPUT` after it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from lite.executors.redactor import Redactor

HOLD_SECONDS = 0.05  # how long bytes are kept back that may be a secret's beginning
OUTPUT_NAME = "output"
_MOST_OUTPUT = 1 << 20  # bytes kept of `$QD_OUTPUT`; what is longer by far is refused anyway


class Veil:
    """`tell(stream, data)` gets what may be seen; every stream is read by itself. `due` (monotonic seconds) is when
    `look_again` wants to be called."""

    def __init__(self, needles: Sequence[bytes], tell: Callable[[int, bytes], None]) -> None:
        self.due: float | None = None
        self._needles, self._tell = tuple(needles), tell
        self._streams: dict[int, Redactor] = {}
        self._typed = Redactor(needles)

    def take(self, stream: int, data: bytes) -> None:
        redactor = self._streams.get(stream)
        if redactor is None:
            redactor = self._streams[stream] = Redactor(self._needles)
        given = redactor.feed(data)
        if given:
            self._tell(stream, given)
        self.due = time.monotonic() + HOLD_SECONDS if any(one.held for one in self._streams.values()) else None

    def look_again(self) -> None:
        """Nothing came for a while, or nothing will: tell what was kept back."""
        self.due = None
        for stream, redactor in self._streams.items():
            given = redactor.flush()
            if given:
                self._tell(stream, given)

    def clean(self, data: bytes) -> bytes:
        """Of what was typed or pasted, in one piece."""
        return self._typed.clean(data)

    def clean_output(self, directory: str) -> None:
        """Make `$QD_OUTPUT` a file that may be read. One that cannot be made so is removed."""
        path = f"{directory}/{OUTPUT_NAME}"
        draft = f"{directory}/.{OUTPUT_NAME}.{os.getpid()}"
        try:
            if not os.path.lexists(path):
                return
            if os.path.isfile(path):
                with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
                    data = file.read(_MOST_OUTPUT) or b""
                cleaned = Redactor(self._needles).clean(data)
                if cleaned == data and len(data) < _MOST_OUTPUT and not os.path.islink(path):
                    return
                with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
                    file.write(cleaned)
                os.rename(draft, path)
            elif os.path.islink(path):
                os.unlink(path)
        except OSError:
            for each in (draft, path):
                try:
                    os.unlink(each)
                except OSError:
                    pass

"""What the pod's bootstrap says around the program's own output, and where that begins and ends. Pure."""

from __future__ import annotations

from lite.executors.kubernetes import bootstrap

_MOST_END = 256 << 10  # bytes: the program's output file comes home in the end mark
_STRING_END = b"\x1b\\"


class Head:
    """What comes before the program's first byte. `ready` counts how often GO was asked for."""

    def __init__(self, mark: str) -> None:
        whole = bootstrap.begin(mark)
        self._begin = whole.rstrip(b"\r\n")
        self._line = len(whole) > len(self._begin)  # a newline belongs to it
        self._ready = bootstrap.READY.rstrip(b"\r\n")
        self._held = bytearray()
        self._found = False
        self.ready = 0
        self.begun = False

    def feed(self, data: bytes) -> bytes:
        """The program's bytes among them."""
        if self.begun:
            return data
        held = self._held
        held += data
        if not self._found:
            at = held.find(self._begin)
            ready = held.rfind(self._ready, 0, at if at >= 0 else len(held))
            if ready >= 0:
                self.ready += held.count(self._ready, 0, ready + len(self._ready))
                del held[: ready + len(self._ready)]
                at = held.find(self._begin)
            if at < 0:
                del held[: max(len(held) - 4096, 0)]
                return b""
            self._found = True
            del held[: at + len(self._begin)]
        if self._line:
            text = held.lstrip(b"\r")
            if not text:
                return b""
            held = text[1:] if text[:1] == b"\n" else text
        self.begun = True
        self._held = bytearray()
        return bytes(held)


class Tail:
    """Keeps the end mark, and what follows it, out of what is passed on. `end` is the mark once it was there."""

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._opening = bootstrap.end_opening(mark)
        self._held = b""
        self._ending = bytearray()
        self._inside = False
        self.end: bootstrap.End | None = None

    def feed(self, data: bytes) -> bytes:
        if self._inside:
            self._collect(data)
            return b""
        data = self._held + data
        at = data.find(self._opening)
        if at >= 0:
            self._held, self._inside = b"", True
            self._collect(data[at:])
            return data[:at]
        keep = _overlap(data, self._opening)
        self._held = data[len(data) - keep :]
        return data[: len(data) - keep]

    def rest(self) -> bytes:
        """What was held back, when nothing more comes."""
        held, self._held = self._held, b""
        return held

    def _collect(self, data: bytes) -> None:
        if self.end is None and len(self._ending) < _MOST_END:
            self._ending += data
            if _STRING_END in self._ending:
                self.end = bootstrap.parse_end(bytes(self._ending), self._mark)


def _overlap(data: bytes, opening: bytes) -> int:
    """The longest end of `data` that may be the opening's beginning."""
    for count in range(min(len(data), len(opening) - 1), 0, -1):
        if data.endswith(opening[:count]):
            return count
    return 0

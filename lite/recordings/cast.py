"""Exports a recording as asciicast, version 3 or 2, one line at a time."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator

from lite.recordings.layout import ERR, IN, OUT, RESIZED, SIZE
from lite.recordings.reader import Recording

_VERSIONS = (2, 3)


def cast_lines(
    recording: Recording, *, version: int = 3, title: str = "", exit_code: int | None = None
) -> Iterator[str]:
    """Lines without their newline. Characters cut between appends are put together; gaps and markers become markers.

    Raises ValueError for another version.
    """
    if version not in _VERSIONS:
        raise ValueError(f"asciicast version {version}: one of {_VERSIONS}")
    header = recording.header()
    begun, cols, rows = header if header else (0, 80, 24)
    yield json.dumps(_header(version, begun, cols, rows, title), ensure_ascii=False)
    clock = _Clock(version, begun)
    decoders = {stream: codecs.getincrementaldecoder("utf-8")("replace") for stream in (OUT, ERR, IN)}
    at: int | None = None
    last = begun
    for entry in recording.entries(recording.start()):
        if at is not None and entry.offset > at:
            yield clock.event(entry.time, "m", f"gap: {entry.offset - at} bytes are not kept")
        at, last = entry.offset + len(entry.data), entry.time
        if entry.stream in decoders:
            text = decoders[entry.stream].decode(entry.data)
            if text:
                yield clock.event(entry.time, "i" if entry.stream == IN else "o", text)
        elif entry.stream == RESIZED and len(entry.data) == SIZE.size:
            yield clock.event(entry.time, "r", "{}x{}".format(*SIZE.unpack(entry.data)))
        else:
            yield clock.event(entry.time, "m", entry.data.decode("utf-8", "replace"))
    for stream in (OUT, ERR):
        if rest := decoders[stream].decode(b"", True):
            yield clock.event(last, "o", rest)
    if exit_code is not None and version == 3:
        yield clock.event(last, "x", str(exit_code))


def _header(version: int, begun: int, cols: int, rows: int, title: str) -> dict[str, object]:
    if version == 3:
        made: dict[str, object] = {"version": 3, "term": {"cols": cols, "rows": rows}}
    else:
        made = {"version": 2, "width": cols, "height": rows}
    made["timestamp"] = begun // 1000
    if title:
        made["title"] = title
    return made


class _Clock:
    """Version 2 tells seconds since the beginning, version 3 since the event before; time never goes back."""

    def __init__(self, version: int, begun: int) -> None:
        self._version = version
        self._begun = self._last = begun

    def event(self, time: int, code: str, data: str) -> str:
        now = max(time, self._last)
        since = self._last if self._version == 3 else self._begun
        self._last = now
        return json.dumps([(now - since) / 1000, code, data], ensure_ascii=False)

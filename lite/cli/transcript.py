"""What an agent said, printed for people or as JSON lines."""

from __future__ import annotations

import os
from collections import deque

from lite.transcripts.lines import Lines
from lite.transcripts.painting import painted
from lite.transcripts.rendering import Renderer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lite.api.client import Client
    from lite.cli.context import Context
    from lite.transcripts.lines import Said

_TAIL_SIZE = 4 << 20  # characters a tail holds at most


class Transcript:
    """One session's. Raises `NotFound` from its first method called when the session has none."""

    def __init__(self, context: Context, client: Client, session: str) -> None:
        self._context = context
        self._client = client
        self._session = session
        self._lines = Lines()
        self._offset = 0

    def show(self, *, follow: bool, tail: int | None, everything: bool) -> None:
        renderer = Renderer(width=self._context.width, everything=everything)

        def text_of(said: Said) -> str:
            return painted(renderer.feed(said), colour=self._context.colour)

        if tail is not None:
            _out("".join(_last(map(text_of, self._said(follow=False)), tail)))
        if tail is None or follow:
            for said in self._said(follow=follow):
                _out(text_of(said))
        _out(painted(renderer.close(), colour=self._context.colour))

    def print_json(self, *, follow: bool, tail: int | None) -> None:
        """`tail` counts events here."""
        if tail is not None:
            for said in deque(self._said(follow=False), tail):
                self._context.emit(said.to_json(), flush=True)
        if tail is None or follow:
            for said in self._said(follow=follow):
                self._context.emit(said.to_json(), flush=True)

    def _said(self, *, follow: bool) -> Iterator[Said]:
        """What was not read yet."""
        for at, data in self._client.transcript(self._session, self._offset, follow=follow):
            self._offset = at + len(data)
            yield from self._lines.feed(data)


def _last(texts: Iterator[str], most: int) -> list[str]:
    """The last lines, an open one counts."""
    kept: deque[str] = deque()
    size = ends = 0
    for text in texts:
        for line in text.splitlines(keepends=True):
            if kept and not kept[-1].endswith("\n"):
                kept[-1] += line
            else:
                kept.append(line)
                ends += 1
            size += len(line)
            while ends > most or (size > _TAIL_SIZE and ends > 1):
                size -= len(kept.popleft())
                ends -= 1
    return list(kept)


def _out(text: str) -> None:
    view = memoryview(text.encode("utf-8", "replace"))
    while view:
        view = view[os.write(1, view) :]

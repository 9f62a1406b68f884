"""For tests of terminal panes: time turned by hand, a holder in this very loop, an app around one widget."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widget import Widget

from lite.errors import NoSupervisor, SessionRefused
from lite.recordings.layout import SIZE
from lite.terminal import packets
from tui.state import TaskView
from tui.themes import THEMES


class HandClock:
    """A `FrameClock` that stands still until `advance`."""

    def __init__(self) -> None:
        self.time = 100.0
        self._count = itertools.count()
        self._due: list[tuple[float, int, _Armed]] = []

    def now(self) -> float:
        return self.time

    def at(self, when: float, call: Callable[[], None]) -> _Armed:
        armed = _Armed(call)
        heapq.heappush(self._due, (when, next(self._count), armed))
        return armed

    @property
    def armed(self) -> int:
        return sum(not armed.cancelled for _, _, armed in self._due)

    def advance(self, seconds: float) -> None:
        until = self.time + seconds
        while self._due and self._due[0][0] <= until:
            when, _, armed = heapq.heappop(self._due)
            self.time = max(self.time, when)
            if not armed.cancelled:
                armed.call()
        self.time = max(self.time, until)


class _Armed:
    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Held:
    """A session with a holder in this loop. `hellos` are (role, offset, cols, rows), `typed` what came in."""

    def __init__(self, name: str, folder: Path, cols: int = 80, rows: int = 24) -> None:
        self.name = name
        self.path = folder / f"{name}.sock"
        self.cols, self.rows = cols, rows
        self.entries: list[tuple[int, int, bytes]] = []
        self.end = 0
        self.mark: tuple[int, bytes] = (0, b"")
        self.hellos: list[tuple[int, int, int, int]] = []
        self.typed = b""
        self.sizes: list[tuple[int, int]] = []
        self.refuse = ""  # why input is not accepted
        self.clients: list[asyncio.StreamWriter] = []
        self.exited = b""
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, str(self.path))

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self.clients):
            writer.transport.abort()
        self.clients.clear()
        await asyncio.sleep(0)

    def print(self, data: bytes, stream: int = packets.OUT) -> None:
        self.entries.append((self.end, stream, data))
        for at in range(0, max(len(data), 1), 1 << 16):
            piece = data[at : at + (1 << 16)]
            self._tell(packets.output(self.end + at, stream, piece))
        self.end += len(data)

    def resize(self, cols: int, rows: int) -> None:
        self.cols, self.rows = cols, rows
        self.print(SIZE.pack(cols, rows), packets.RESIZED)

    def exit(self, text: bytes = b'{"v": 1, "kind": "exited", "exit_code": 0, "signal": null}') -> None:
        self.exited = packets.encode(packets.EXIT, text)
        self._tell(self.exited)
        for writer in self.clients:
            writer.close()

    def _tell(self, packet: bytes) -> None:
        for writer in self.clients:
            if not writer.is_closing():
                writer.write(packet)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        decoder = packets.Decoder()
        try:
            while data := await reader.read(1 << 16):
                for kind, payload in decoder.feed(data):
                    self._handle(writer, kind, payload)
        except ConnectionError:
            pass
        if writer in self.clients:
            self.clients.remove(writer)
        writer.close()

    def _handle(self, writer: asyncio.StreamWriter, kind: int, payload: bytes) -> None:
        if kind == packets.HELLO:
            _, role, _, offset, cols, rows = packets.parse_hello(payload)
            self.hellos.append((role, offset, cols, rows))
            writer.write(packets.welcome(1, self.cols, self.rows, 0, self.end, packets.RUNNING))
            if offset == packets.SAFE_MARK:
                offset, preamble = self.mark
                if preamble:
                    writer.write(packets.output(offset, packets.PREAMBLE, preamble))
            for at, stream, data in self.entries:
                if at + len(data) > offset:
                    cut = max(offset - at, 0)
                    for piece in range(cut, len(data), 1 << 16):
                        writer.write(packets.output(at + piece, stream, data[piece : piece + (1 << 16)]))
            self.clients.append(writer)
            if role == packets.CONTROL and cols and (cols, rows) != (self.cols, self.rows):
                self.resize(cols, rows)
            if self.exited:
                writer.write(self.exited)
                writer.close()
        elif kind == packets.INPUT:
            if not self.refuse:
                self.typed += payload
                self.print(payload, packets.IN)
            writer.write(packets.ack(not self.refuse, self.refuse))
        elif kind == packets.INSPECT:
            writer.write(packets.info(True, 1, 0, self.end, self.cols, self.rows))
        elif kind == packets.RESIZE:
            self.sizes.append(packets.parse_resize(payload))
            self.resize(*packets.parse_resize(payload))


class Spoken:
    """What a structured session says."""

    def __init__(self) -> None:
        self.data = b""
        self.ended = False
        self.news = asyncio.Event()

    def say(self, kind: str, text: str = "", **data: Any) -> None:
        line = {"kind": kind, "text": text, "data": data, "offset": len(self.data)}
        self.data += json.dumps(line).encode() + b"\n"
        self.news.set()

    def end(self) -> None:
        self.ended = True
        self.news.set()


class PaneGateway:
    """The part of a `Gateway` that panes use."""

    def __init__(self) -> None:
        self.sessions: dict[str, Held] = {}
        self.gone = False  # no supervisor answers
        self.attached: list[tuple[str, bool]] = []
        self.reads: list[tuple[int, int]] = []
        self.said: dict[str, Spoken] = {}
        self.followers = 0

    async def attach(self, session: str, *, control: bool) -> dict[str, Any]:
        self.attached.append((session, control))
        if self.gone:
            raise NoSupervisor("nobody answers")
        held = self.sessions.get(session)
        if held is None or held.exited:
            raise SessionRefused("the session has ended")
        return {
            "session": session,
            "address": str(held.path),
            "ticket": "",
            "cols": held.cols,
            "rows": held.rows,
            "protocol": packets.PROTOCOL,
        }

    async def recording(self, session: str, offset: int, limit: int) -> Sequence[tuple[int, int, bytes]]:
        if self.gone:
            raise NoSupervisor("nobody answers")
        self.reads.append((offset, limit))
        found, taken = [], 0
        for at, stream, data in self.sessions[session].entries:
            if at + len(data) <= offset:
                continue
            piece = data[max(offset - at, 0) :][: limit - taken]
            found.append((max(at, offset), stream, piece))
            taken += len(piece)
            if taken >= limit:
                break
        return found

    async def recording_end(self, session: str) -> tuple[int, int]:
        if self.gone:
            raise NoSupervisor("nobody answers")
        held = self.sessions[session]
        return (held.entries[0][0] if held.entries else 0), held.end

    async def transcript_end(self, session: str) -> int | None:
        if self.gone:
            raise NoSupervisor("nobody answers")
        said = self.said.get(session)
        return None if said is None else len(said.data)

    async def transcript(self, session: str, offset: int, limit: int) -> bytes:
        data = self.said[session].data
        return data[offset : max(data.rfind(b"\n", 0, offset + limit), data.find(b"\n", offset)) + 1]

    async def follow_transcript(self, session: str, offset: int) -> AsyncGenerator[bytes, None]:
        self.followers += 1
        said = self.said[session]
        try:
            while True:
                if data := said.data[offset:]:
                    offset += len(data)
                    yield data
                elif self.gone:
                    raise NoSupervisor("nobody answers")
                elif said.ended:
                    return
                else:
                    said.news.clear()
                    await said.news.wait()
        finally:
            self.followers -= 1

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"panes have no business with {name}")


@asynccontextmanager
async def holding(folder: Path, *names: str, cols: int = 80, rows: int = 24) -> AsyncIterator[PaneGateway]:
    """A gateway with live sessions of these names."""
    gateway = PaneGateway()
    for name in names:
        held = Held(name, folder, cols, rows)
        await held.start()
        gateway.sessions[name] = held
    try:
        yield gateway
    finally:
        for held in gateway.sessions.values():
            await held.stop()


class Alone(App[None]):
    """One widget, mounted alone."""

    CSS = "Screen { layout: vertical; }"

    def __init__(self, widget: Widget, theme: str = "harbour") -> None:
        super().__init__()
        for each in THEMES:
            self.register_theme(each)
        self.theme = theme
        self.widget = widget
        self.copied: list[str] = []

    def compose(self) -> ComposeResult:
        yield self.widget

    def copy_to_clipboard(self, text: str) -> None:
        self.copied.append(text)
        super().copy_to_clipboard(text)


def running(name: str, session: str = "", **fields: Any) -> TaskView:
    return TaskView(id=f"01{name}", name=name, state="running", session=session or name, **fields)


def screen_text(app: App[Any]) -> list[str]:
    """The whole screen as the outer terminal would show it, without styles."""
    return [strip.text for strip in app.screen._compositor.render_strips()]


def shown(widget: Widget) -> list[str]:
    """The lines of a widget's content, blanks at the right end left out."""
    return [widget.render_line(y).text.rstrip() for y in range(widget.size.height)]


async def eventually(
    pilot: Pilot[Any], condition: Callable[[], object], clock: HandClock | None = None, turns: int = 400
) -> None:
    """Turn the loop, and the clock with it, until the condition holds. Nothing here waits for wall time."""
    for _ in range(turns):
        if condition():
            return
        if clock is not None:
            clock.advance(0.02)
        await pilot.pause()
    raise AssertionError(f"not within {turns} turns of the loop: {screen_text(pilot.app)}")

"""`logs`: what an agent did in words, else the recorded output, made safe for the terminal."""

from __future__ import annotations

import os
import sys
from collections import deque

from lite.cli.commands import Command
from lite.errors import NotFound, UsageError
from lite.terminal.packets import ERR, OUT
from lite.terminal.sanitize import SafeStream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Iterator

    from lite.api.client import Client
    from lite.cli.context import Context

_TAIL_BYTES = 4 << 20  # a tail holds no more than this, however long its lines are
_NAMES = {OUT: "out", ERR: "err"}


def _options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("id", metavar="ID", help="task id, unique prefix or run/name")
    add("-f", "--follow", action="store_true", help="go on until the session has ended")
    add("--raw", action="store_true", help="every byte as recorded; only into a file or a pipe")
    add("--all", action="store_true", help="of what an agent said, what is not understood, too")
    add("--attempt", metavar="N", type=int, help="of this attempt (default: the last)")
    add("--tail", metavar="N", type=int, help="only the last N lines (and what follows, with -f)")
    add("--stream", choices=("out", "err"), default="", help="the recorded output, only of this stream")
    add("--offset", metavar="BYTES", type=int, help="the recorded output, from this offset on")


def _logs(context: Context, arguments: Namespace) -> int:
    if arguments.raw and sys.stdout.isatty():
        raise UsageError(
            "raw output could take over this terminal", hint="write it to a file or a pipe, or leave --raw out"
        )
    for name in ("offset", "tail"):
        if (getattr(arguments, name) or 0) < 0:
            raise UsageError("cannot be negative", place=f"--{name}")
    client = context.client()
    session, mode = _session(client, arguments)
    sys.stdout.flush()
    recorded = arguments.raw or arguments.stream or arguments.offset is not None
    if mode == "headless" and not recorded and _told(context, client, session, arguments):
        return 0
    reader = _Reader(context, client, session, arguments.stream)
    plain = arguments.raw or context.json
    safe = None if plain else SafeStream(colour=context.colour)
    show = _JsonLines(context).show if context.json else _bytes_out
    offset = arguments.offset or 0
    if arguments.tail is not None:
        _pour(_tail(reader.read(offset, follow=False), arguments.tail), safe, show)
        offset = reader.offset
    if arguments.tail is None or arguments.follow:
        _pour(reader.read(offset, follow=arguments.follow), safe, show)
    if safe is not None:
        _bytes_out(0, OUT, safe.close())
    return 0


def _told(context: Context, client: Client, session: str, arguments: Namespace) -> bool:
    """Print its transcript. False: it has none, its output is for people."""
    from lite.cli.transcript import Transcript

    transcript = Transcript(context, client, session)
    try:
        if context.json:
            transcript.print_json(follow=arguments.follow, tail=arguments.tail)
        else:
            transcript.show(follow=arguments.follow, tail=arguments.tail, everything=arguments.all)
    except NotFound:
        return False
    return True


class _Reader:
    """A recording as pieces, with a remark where something is no longer kept."""

    def __init__(self, context: Context, client: Client, session: str, stream: str) -> None:
        self._context = context
        self._client = client
        self._session = session
        self._stream = stream
        self.offset = 0

    def read(self, offset: int, *, follow: bool) -> Iterator[tuple[int, int, bytes]]:
        self.offset = offset
        for at, stream, data in self._client.recording(self._session, offset, follow=follow, stream=self._stream):
            if at > self.offset and not self._stream:
                self._context.note(f"{at - self.offset} bytes are no longer kept")
            self.offset = at + len(data)
            if stream in _NAMES:
                yield at, stream, data


def _session(client: Client, arguments: Namespace) -> tuple[str, str]:
    """(session, mode of its task)"""
    task = client.task(arguments.id)
    if arguments.attempt is not None:
        if not 1 <= arguments.attempt <= task["attempt"]:
            raise NotFound(f"{task['name']} has had {task['attempt']} attempt(s)", place="--attempt")
        return f"{task['id']}-{arguments.attempt}", task["mode"]
    if not task["session"] and arguments.follow and task["ended_at"] is None:
        for event in client.events(0, True, task=task["id"]):
            if event["kind"] == "task.started":
                break
            if event["kind"] in ("task.cancelled", "task.skipped", "task.failed"):
                break
        task = client.task(task["id"])
    if not task["session"]:
        raise NotFound("no output: it has not run yet", hint=f"qd explain {task['id']}", place=task["name"])
    return task["session"], task["mode"]


def _pour(
    pieces: Iterator[tuple[int, int, bytes]], safe: SafeStream | None, show: Callable[[int, int, bytes], None]
) -> None:
    held = b""
    for at, stream, data in pieces:
        shown = data
        if safe is not None:  # a terminal's CR LF as the plain newline that readers of text expect
            shown = (held + safe.feed(data)).replace(b"\r\n", b"\n")
            held = b"\r" if shown.endswith(b"\r") else b""
            shown = shown.removesuffix(held)
        if shown:
            show(at, stream, shown)
    if held:
        show(0, OUT, held)


def _bytes_out(_at: int, _stream: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


class _JsonLines:
    """One object a piece; a character cut in two is completed by the next piece of its stream."""

    def __init__(self, context: Context) -> None:
        from codecs import getincrementaldecoder

        self._context = context
        self._decoders = {stream: getincrementaldecoder("utf-8")("replace") for stream in _NAMES}

    def show(self, at: int, stream: int, data: bytes) -> None:
        text = self._decoders[stream].decode(data)
        self._context.emit({"offset": at, "stream": _NAMES[stream], "text": text}, flush=True)


def _tail(pieces: Iterator[tuple[int, int, bytes]], lines: int) -> Iterator[tuple[int, int, bytes]]:
    """The pieces that hold the last `lines` lines, the first of them cut to size."""
    kept: deque[tuple[int, int, bytes]] = deque()
    size = ends = 0
    for piece in pieces:
        kept.append(piece)
        size += len(piece[2])
        ends += piece[2].count(b"\n")
        while len(kept) > 1 and (ends - kept[0][2].count(b"\n") > lines or size - len(kept[0][2]) > _TAIL_BYTES):
            gone = kept.popleft()[2]
            size -= len(gone)
            ends -= gone.count(b"\n")
    if not kept or not lines:
        return
    surplus = ends - lines + (0 if kept[-1][2].endswith(b"\n") else 1)
    for at, stream, data in kept:
        cut = 0
        while surplus > 0 and cut < len(data):
            end = data.find(b"\n", cut)
            cut = len(data) if end < 0 else end + 1
            surplus -= end >= 0
        if cut < len(data):
            yield at + cut, stream, data[cut:]


COMMANDS = {
    "logs": Command(
        _options,
        _logs,
        """
qd logs 01jd8                     what the agent of the last attempt did, in words; a program's output, colours kept
qd logs -f --tail 20 add-login/ui follow it
qd logs --attempt 1 01jd8         of an earlier attempt
qd logs --json 01jd8              every event of an agent as a JSON line
qd logs --stream out 01jd8        the agent's own lines instead, made safe for the terminal
qd logs --raw 01jd8 > session     byte for byte""",
    )
}

"""A session's output from the recording, going on live without gap or duplicate, as packets or as plain bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from lite.errors import ExecutorError, NotFound
from lite.model.session import session_id
from lite.model.task import State
from lite.recordings.reader import Recording
from lite.terminal import packets
from lite.transcripts.reader import read_transcript

if TYPE_CHECKING:
    from lite.engine.operations import Operations
    from lite.ports import TerminalStream

_CHUNK = 256 * 1024
_TURN_MS = 2000


async def play(
    operations: Operations, session: str, recording: Recording, offset: int, *, follow: bool
) -> AsyncGenerator[packets.Packet, None]:
    """OUTPUT and GAP packets from `offset` on; with `follow` until the session has ended, which EXIT then says (without
    its content). Without `follow`: what is recorded by now."""
    seen = 0
    while True:
        running = follow and await _running(operations, session)  # asked before the recording is read to its end
        end = offset
        async for packet in _recorded(recording, offset):
            end = _after(packet, end)
            yield packet
        if not running:
            if follow:
                yield packets.EXIT, b""
            return
        stream = await _live(operations, session, end)
        if stream is not None:
            try:
                async for packet in _cut(stream, end):
                    end = _after(packet, end)
                    yield packet
            finally:
                await stream.aclose()
        if end == offset:  # nothing came: wait for something to happen instead of asking again and again
            seen = await operations.wait_events(seen, _TURN_MS)
        offset = end


async def play_transcript(
    operations: Operations, session: str, directory: str, offset: int, *, follow: bool
) -> AsyncGenerator[packets.Packet, None]:
    """Whole lines of a transcript in the same way."""
    seen = 0
    while True:
        running = follow and await _running(operations, session)
        begun = offset
        while lines := await asyncio.to_thread(read_transcript, directory, offset, _CHUNK):
            for at in range(0, len(lines), _CHUNK):
                yield _decoded(packets.output(offset + at, packets.OUT, lines[at : at + _CHUNK]))
            offset += len(lines)
        if not running:
            if follow:
                yield packets.EXIT, b""
            return
        await operations.transcript_grown(session, offset)
        if offset == begun:
            seen = await operations.wait_events(seen, _TURN_MS)


async def plain(source: AsyncGenerator[packets.Packet, None], only: int | None) -> AsyncGenerator[bytes, None]:
    """The bytes the program wrote; `only`: one of its streams."""
    wanted = (packets.OUT, packets.ERR) if only is None else (only,)
    try:
        async for kind, payload in source:
            if kind == packets.OUTPUT and payload[8] in wanted:
                yield packets.parse_output(payload)[2]
    finally:
        await source.aclose()


async def framed(source: AsyncGenerator[packets.Packet, None], only: int | None) -> AsyncGenerator[bytes, None]:
    try:
        async for kind, payload in source:
            if only is None or kind != packets.OUTPUT or payload[8] == only:
                yield packets.encode(kind, payload)
    finally:
        await source.aclose()


async def _recorded(recording: Recording, offset: int) -> AsyncGenerator[packets.Packet, None]:
    while chunks := await asyncio.to_thread(recording.read, offset, _CHUNK):
        for at, stream, data in chunks:
            if at > offset:
                yield _decoded(packets.gap(offset, at))
            offset = at + len(data)
            yield _decoded(packets.output(at, stream, data))


async def _cut(stream: TerminalStream, offset: int) -> AsyncGenerator[packets.Packet, None]:
    """What the live session says beyond `offset`."""
    while (packet := await stream.read()) is not None:
        kind, payload = packet
        if kind == packets.OUTPUT:
            at, which, data = packets.parse_output(payload)
            if at + len(data) <= offset:
                continue
            if at < offset:
                at, data = offset, data[offset - at :]
            offset = at + len(data)
            yield _decoded(packets.output(at, which, data))
        elif kind == packets.GAP:
            start, until = packets.parse_gap(payload)
            if until > offset:
                yield _decoded(packets.gap(max(start, offset), until))
                offset = until
        elif kind == packets.EXIT:
            return


def _after(packet: packets.Packet, offset: int) -> int:
    kind, payload = packet
    if kind == packets.OUTPUT:
        at, _, data = packets.parse_output(payload)
        return at + len(data)
    return packets.parse_gap(payload)[1] if kind == packets.GAP else offset


def _decoded(encoded: bytes) -> packets.Packet:
    return encoded[0], encoded[5:]


async def _live(operations: Operations, session: str, offset: int) -> TerminalStream | None:
    try:
        return await operations.watch_session(session, offset)
    except ExecutorError:
        return None  # it has just ended


async def _running(operations: Operations, session: str) -> bool:
    task = session.rpartition("-")[0]
    try:
        found = await operations.task(task)
    except NotFound:
        return False
    return found.state is State.RUNNING and session_id(found.id, found.attempt) == session

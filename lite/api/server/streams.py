"""Answers without an end: each send has a time limit, and a reader that vanished or stopped reading is dropped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, MutableMapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from fastapi import Response

from lite.aio.tasks import spawn
from lite.api.server.edge import Receive, Scope, Send
from lite.api.server.web import ABORT
from lite.errors import IllegalState, PeerUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger(__name__)

SEND_SECONDS = 30.0
HEARTBEAT_SECONDS = 10.0
MAX_STREAMS = 256


class Streams:
    """The open ones of one server; `closing` ends them all, each cleanly."""

    def __init__(self, closing: asyncio.Event, counts: MutableMapping[str, float]) -> None:
        self.closing = closing
        self._counts = counts
        self._open = 0

    def __repr__(self) -> str:
        return f"<Streams {self._open} open>"

    def enter(self) -> None:
        """Raises `IllegalState` when there are too many."""
        if self._open >= MAX_STREAMS:
            raise IllegalState(f"{MAX_STREAMS} streams are open already", hint="end some clients")
        self._change(1)

    def leave(self) -> None:
        self._change(-1)

    def _change(self, by: int) -> None:
        self._open += by
        self._counts["quarterdeck_api_streams"] = self._open

    def answer(
        self,
        pieces: AsyncGenerator[bytes, None],
        media_type: str,
        headers: dict[str, str] | None = None,
    ) -> Response:
        return _Streaming(self, pieces, media_type, headers or {})


class _Streaming(Response):
    def __init__(
        self, streams: Streams, pieces: AsyncGenerator[bytes, None], media_type: str, headers: dict[str, str]
    ) -> None:
        self._streams = streams
        self._pieces = pieces
        self.status_code = 200
        self.background = None
        self.media_type = media_type
        self.body = b""
        self.init_headers({"cache-control": "no-store", **headers})
        self.raw_headers = [pair for pair in self.raw_headers if pair[0] != b"content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._streams.enter()
        pumping = spawn(self._pump(scope, send), "stream")
        others = (spawn(gone(receive), "stream reader"), spawn(self._streams.closing.wait(), "stream end"))
        try:
            await asyncio.wait({pumping, *others}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._streams.leave()
            for job in (pumping, *others):
                job.cancel()
            results = await asyncio.gather(pumping, *others, return_exceptions=True)
        failed = results[0]
        if isinstance(failed, PeerUnavailable):
            await _break_off(scope, receive, failed)
            return
        if isinstance(failed, Exception):
            raise failed
        if self._streams.closing.is_set() and isinstance(failed, asyncio.CancelledError):
            await limited(scope, send, {"type": "http.response.body", "body": b"", "more_body": False})

    async def _pump(self, scope: Scope, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        await limited(scope, send, start)
        async with aclosing(self._pieces) as pieces:
            async for piece in pieces:
                await limited(scope, send, {"type": "http.response.body", "body": piece, "more_body": True})
        await limited(scope, send, {"type": "http.response.body", "body": b"", "more_body": False})


async def _break_off(scope: Scope, receive: Receive, why: Exception) -> None:
    """The end of what was begun cannot be told; the reader sees it break, asks again and is told why."""
    log.info("a stream broke off: %s", why)
    abort = scope.get(ABORT)
    if abort is not None:
        abort()
        await gone(receive)


async def limited(scope: Scope, send: Send, message: dict[str, Any]) -> None:
    """Send; a reader that takes nothing for `SEND_SECONDS` is dropped: raises `ConnectionAbortedError`."""
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await send(message)
    except TimeoutError:
        abort = scope.get(ABORT)
        if abort is not None:
            abort()
        raise ConnectionAbortedError("a reader took nothing for too long") from None


async def with_heartbeat(source: AsyncIterator[bytes], heartbeat: bytes) -> AsyncGenerator[bytes, None]:
    """The pieces of `source`, and `heartbeat` whenever none came for `HEARTBEAT_SECONDS`."""
    waiting: asyncio.Task[bytes | None] | None = None
    try:
        while True:
            waiting = waiting or spawn(_next(source), "stream source")
            done, _ = await asyncio.wait({waiting}, timeout=HEARTBEAT_SECONDS)
            if not done:
                yield heartbeat
                continue
            piece = waiting.result()
            waiting = None
            if piece is None:
                return
            yield piece
    finally:
        if waiting is not None:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()


async def pieces_of(parts: Iterable[bytes]) -> AsyncGenerator[bytes, None]:
    """What a blocking iterator yields, read in a thread."""
    iterator = iter(parts)
    while (piece := await asyncio.to_thread(next, iterator, None)) is not None:
        yield piece


async def _next(source: AsyncIterator[bytes]) -> bytes | None:
    return await anext(source, None)


async def gone(receive: Receive) -> None:
    """Return when whoever asked has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass

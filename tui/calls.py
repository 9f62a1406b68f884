"""The gateway to a real supervisor: the synchronous client, each call in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakSet

from lite.api.client import Client
from lite.errors import NoSupervisor, NotFound
from lite.home import Home
from lite.recordings.reader import Recording
from lite.transcripts.reader import read_transcript, transcript_size
from tui.following import Following

if TYPE_CHECKING:
    from lite.api.messages import (
        AgentJson,
        AttachJson,
        EventJson,
        ExplanationJson,
        PlanSubmittedJson,
        SendJson,
        SubmitBody,
        SubmittedJson,
        TaskJson,
    )
    from lite.recordings.reader import Chunk

_Answer = TypeVar("_Answer")
_KEPT = 4  # idle clients, each with its connection


class SocketGateway:
    """One home. Implements `tui.gateway.Gateway`; close it at the end. A call whose caller was cancelled goes on in its
    thread: half a submission helps nobody."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._idle: list[Client] = []
        self._busy: set[Client] = set()
        self._following: WeakSet[Client] = WeakSet()
        self._closed = False

    def __repr__(self) -> str:
        return f"<SocketGateway {self._home.root} {len(self._busy)} busy, {len(self._idle)} idle>"

    def close(self) -> None:
        """What is under way raises `NoSupervisor`, and whatever would begin."""
        with self._lock:
            self._closed = True
            for client in (*self._busy, *self._following):
                client.abort()
            while self._idle:
                self._idle.pop().close()

    async def _call(self, ask: Callable[[Client], _Answer]) -> _Answer:
        return await asyncio.to_thread(self._ask, ask)

    def _ask(self, ask: Callable[[Client], _Answer]) -> _Answer:
        """In a thread, which has the client to itself."""
        with self._lock:
            client = self._idle.pop() if self._idle else Client(self._home.socket_path)
            self._busy.add(client)
            if self._closed:
                client.abort()
        try:
            return ask(client)
        finally:
            with self._lock:
                self._busy.discard(client)
                if len(self._idle) < _KEPT and not self._closed:
                    self._idle.append(client)
                else:
                    client.close()

    async def submit(self, body: SubmitBody) -> SubmittedJson:
        return await self._call(lambda client: client.submit({**body, "watched": True}))

    async def plan(self, text: str, *, source: str = "", cwd: str = "", dry_run: bool = False) -> PlanSubmittedJson:
        return await self._call(
            lambda client: client.submit_plan(text, source=source, cwd=cwd, dry_run=dry_run, watched=True)
        )

    async def task(self, task: str) -> TaskJson:
        return await self._call(lambda client: client.task(task))

    async def explain(self, task: str) -> ExplanationJson:
        return await self._call(lambda client: client.explain(task))

    async def cancel(self, task: str) -> TaskJson:
        return await self._call(lambda client: client.cancel(task))

    async def retry(self, task: str) -> TaskJson:
        return await self._call(lambda client: client.retry(task))

    async def send(self, task: str, data: str | bytes) -> SendJson:
        return await self._call(lambda client: client.send(task, data))

    async def answer(self, task: str, question: str, decision: str, text: str, hash: str) -> SendJson:
        return await self._call(lambda client: client.answer(task, question, decision, text, hash))

    async def agents(self) -> list[AgentJson]:
        return await self._call(lambda client: client.agents())

    async def events(self, run: str, after: int = 0) -> list[EventJson]:
        return await self._call(lambda client: list(client.events(after, run=run)))

    async def attach(self, session: str, *, control: bool) -> AttachJson:
        return await self._call(lambda client: client.attach(session, control=control, local=True))

    async def recording(self, session: str, offset: int, limit: int) -> Sequence[Chunk]:
        def read() -> Sequence[Chunk]:
            kept = self._kept(session)
            if kept is not None:
                return kept.read(offset, limit)
            return self._ask(lambda client: _limited(client, session, offset, limit))

        return await asyncio.to_thread(read)

    async def recording_end(self, session: str) -> tuple[int, int]:
        def look() -> tuple[int, int]:
            kept = self._kept(session)
            if kept is not None:
                return kept.start(), kept.end()
            return self._ask(lambda client: _extent(client, session))

        return await asyncio.to_thread(look)

    async def transcript_end(self, session: str) -> int | None:
        def look() -> int | None:
            directory = self._home.session(session)
            kept = transcript_size(directory)
            if kept is not None:
                return kept
            try:
                return self._ask(lambda client: client.session(session).get("transcript"))
            except (NotFound, NoSupervisor):
                if directory.is_dir():
                    return None  # what is recorded can be shown
                raise

        return await asyncio.to_thread(look)

    async def transcript(self, session: str, offset: int, limit: int) -> bytes:
        def read() -> bytes:
            directory = self._home.session(session)
            if transcript_size(directory) is not None:
                return read_transcript(directory, offset, limit)
            return self._ask(lambda client: _said(client, session, offset, limit))

        return await asyncio.to_thread(read)

    async def follow_transcript(self, session: str, offset: int) -> AsyncGenerator[bytes, None]:
        def read(client: Client) -> Iterator[bytes]:
            return (data for _, data in client.transcript(session, offset, follow=True))

        following = Following(self._own_client(), read)
        try:
            while (data := await following.next()) is not None:
                yield data
        finally:
            following.stop()

    def _own_client(self) -> Client:
        """One that nobody else uses, and that ends with us."""
        client = Client(self._home.socket_path)
        with self._lock:
            self._following.add(client)
            if self._closed:
                client.abort()
        return client

    def _kept(self, session: str) -> Recording | None:
        """The recording itself, when the session ran on this machine."""
        directory = self._home.session(session)
        return Recording(directory) if directory.is_dir() else None


def _extent(client: Client, session: str) -> tuple[int, int]:
    seen = client.session(session)
    return seen["start"], seen["offset"]


def _said(client: Client, session: str, offset: int, limit: int) -> bytes:
    found = b""
    with closing(client.transcript(session, offset)) as pieces:
        for _, data in pieces:
            found += data
            if len(found) >= limit and b"\n" in found:
                break
    return found[: found.rfind(b"\n") + 1]


def _limited(client: Client, session: str, offset: int, limit: int) -> list[Chunk]:
    found: list[Chunk] = []
    left = limit
    with closing(client.recording(session, offset)) as chunks:
        for at, stream, data in chunks:
            found.append((at, stream, data[:left]))
            left -= len(data)
            if left <= 0:
                break
    return found

"""The gateway to a real supervisor: the synchronous client, each call in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from lite.api.client import Client
from lite.home import Home
from lite.recordings.reader import Recording

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
    """One home. Implements `tui.gateway.Gateway`; close it at the end."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._idle: list[Client] = []

    def __repr__(self) -> str:
        return f"<SocketGateway {self._home.root} {len(self._idle)} idle>"

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    async def _call(self, ask: Callable[[Client], _Answer]) -> _Answer:
        client = self._idle.pop() if self._idle else Client(self._home.socket_path)
        try:
            return await asyncio.to_thread(ask, client)
        finally:
            if len(self._idle) < _KEPT:
                self._idle.append(client)
            else:
                client.close()

    async def submit(self, body: SubmitBody) -> SubmittedJson:
        return await self._call(lambda client: client.submit(body))

    async def plan(self, text: str, *, source: str = "", cwd: str = "", dry_run: bool = False) -> PlanSubmittedJson:
        return await self._call(lambda client: client.submit_plan(text, source=source, cwd=cwd, dry_run=dry_run))

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

    async def agents(self) -> list[AgentJson]:
        return await self._call(lambda client: client.agents())

    async def events(self, run: str, after: int = 0) -> list[EventJson]:
        return await self._call(lambda client: list(client.events(after, run=run)))

    async def attach(self, session: str, *, control: bool) -> AttachJson:
        return await self._call(lambda client: client.attach(session, control=control, local=True))

    async def recording(self, session: str, offset: int, limit: int) -> Sequence[Chunk]:
        directory = self._home.session(session)
        if directory.is_dir():
            return await asyncio.to_thread(Recording(directory).read, offset, limit)
        return await self._call(lambda client: _limited(client, session, offset, limit))

    async def recording_end(self, session: str) -> tuple[int, int]:
        directory = self._home.session(session)
        if directory.is_dir():
            return await asyncio.to_thread(_extent, Recording(directory))
        chunks = await self._call(lambda client: list(client.recording(session)))
        return (chunks[0][0], chunks[-1][0] + len(chunks[-1][2])) if chunks else (0, 0)


def _extent(recording: Recording) -> tuple[int, int]:
    return recording.start(), recording.end()


def _limited(client: Client, session: str, offset: int, limit: int) -> list[Chunk]:
    found: list[Chunk] = []
    left = limit
    for chunk in client.recording(session, offset):
        found.append((chunk[0], chunk[1], chunk[2][:left]))
        left -= len(chunk[2])
        if left <= 0:
            break
    return found

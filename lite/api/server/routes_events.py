"""The event log, by page, by long poll and as a stream; changes of activity beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Response

from lite.api import messages
from lite.api.server.answers import answer_list, described, line
from lite.api.server.parameters import Cursor, Name
from lite.api.server.render import activity_json, event_json
from lite.api.server.streams import HEARTBEAT_SECONDS, Streams, with_heartbeat
from lite.model.event import Event

if TYPE_CHECKING:
    from lite.engine.operations import Operations

_PAGE = 1000
_MAX_WAIT_MS = 60_000
_NDJSON = "application/x-ndjson"

Limit = Annotated[int, Query(ge=1, le=_PAGE)]
WaitMs = Annotated[int, Query(ge=0, le=_MAX_WAIT_MS, description="How long to wait for the first one")]


def router(operations: Operations, streams: Streams) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["events"])

    @routes.get("/events", responses=described(messages.EventJson, "Oldest first", many=True))
    async def list_events(
        after: Cursor = 0, limit: Limit = _PAGE, wait_ms: WaitMs = 0, run: Name = "", task: Name = ""
    ) -> Response:
        """`run` and `task` are whole ids."""
        found = await _first_page(operations, streams, after, limit, wait_ms, run, task)
        return await answer_list(found, event_json)

    @routes.get("/events/stream", responses=described(_NDJSON, "An EventJson a line; empty lines are heartbeats"))
    async def stream_events(after: Cursor = 0, run: Name = "", task: Name = "") -> Response:
        """Everything after `after`, then what comes."""
        await operations.events(after, 1, run, task)  # an error here still has a status
        return streams.answer(_follow(operations, after, run, task), _NDJSON)

    @routes.get(
        "/activities/stream", responses=described(_NDJSON, "An ActivityJson a line; empty lines are heartbeats")
    )
    async def stream_activities() -> Response:
        """Changes from now on."""
        return streams.answer(with_heartbeat(_activities(operations), b"\n"), _NDJSON)

    return routes


async def _first_page(
    operations: Operations, streams: Streams, after: int, limit: int, wait_ms: int, run: str, task: str
) -> Sequence[Event]:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_ms / 1000
    seen = after
    while True:
        found = await operations.events(after, limit, run, task)
        left = deadline - loop.time()
        if found or left <= 0 or streams.closing.is_set():
            return found
        # In short turns, so that a stopping server is not held up.
        seen = await operations.wait_events(seen, max(1, min(1000, int(left * 1000))))


async def _follow(operations: Operations, after: int, run: str, task: str) -> AsyncGenerator[bytes, None]:
    """`after`: all that matters up to it was told. Waiting goes by the newest cursor of all, else a filtered stream
    would wake for ever."""
    yield b"\n"  # the reader learns that it is connected
    seen = after
    while True:
        found = await operations.events(after, _PAGE, run, task)
        if found:
            after = found[-1].cursor
            yield b"".join(line(event_json(event)) for event in found)
        if len(found) == _PAGE:
            continue
        after = seen = max(after, seen)
        newest = await operations.wait_events(seen, int(HEARTBEAT_SECONDS * 1000))
        if newest <= seen:
            yield b"\n"
        seen = max(newest, seen)


async def _activities(operations: Operations) -> AsyncGenerator[bytes, None]:
    changes = operations.activities()
    if isinstance(changes, AsyncGenerator):
        async with aclosing(changes):
            async for task, status in changes:
                yield line(activity_json(task, status))
    else:
        async for task, status in changes:
            yield line(activity_json(task, status))

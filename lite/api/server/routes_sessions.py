"""Sessions: their recordings, and the way to their terminals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Query, Response, WebSocket

from lite.api import messages
from lite.api.server import bodies
from lite.api.server.answers import answer, described
from lite.api.server.parameters import Here, Offset, Ref, SessionId
from lite.api.server.playback import framed, plain, play, play_transcript
from lite.api.server.relay import relay
from lite.api.server.relay_socket import RelaySockets
from lite.api.server.render import attach_json, inspection_json
from lite.api.server.streams import Streams, pieces_of, with_heartbeat
from lite.recordings.cast import cast_lines
from lite.recordings.reader import Recording
from lite.terminal import packets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lite.engine.operations import Operations

_STREAMS = {"out": packets.OUT, "err": packets.ERR}
_CAST_BYTES = 64 * 1024


def router(operations: Operations, streams: Streams, relays: RelaySockets) -> APIRouter:
    routes = APIRouter(prefix="/v1/sessions", tags=["sessions"])

    @routes.get("/{session}", responses=described(messages.InspectionJson))
    async def inspect(session: SessionId, here: Here) -> Response:
        """A look at it, live or ended, wherever it is."""
        return answer(inspection_json(session, await operations.inspect(session, here=here)))

    @routes.get(
        "/{session}/recording",
        responses=described("application/octet-stream", "The bytes; X-Offset is the logical offset of the first"),
    )
    async def recording(
        session: SessionId,
        here: Here,
        offset: Offset = 0,
        stream: Annotated[Literal["", "out", "err"], Query(description="Only this one")] = "",
        follow: Annotated[bool, Query(description="Go on until the session has ended")] = False,
        form: Annotated[Literal["raw", "packets"], Query(alias="format")] = "raw",
    ) -> Response:
        """What the session's program wrote. `format=packets` has offsets and streams, as attached clients get them; a
        gap of no length is a heartbeat, an exit packet the end of a followed session."""
        found = await operations.find_recording(session, here=here)
        if isinstance(found, str):
            kept = Recording(found)
            first, packeted = kept.start(), play(operations, session, kept, offset, follow=follow)
        else:
            first, packeted = found.start, found.play(offset, follow=follow)
        only = _STREAMS.get(stream)
        if form == "raw":
            pieces = plain(packeted, only)
        elif follow:
            pieces = with_heartbeat(framed(packeted, only), packets.gap(0, 0))
        else:
            pieces = framed(packeted, only)
        return streams.answer(pieces, "application/octet-stream", {"x-offset": str(max(offset, first))})

    @routes.get("/{session}/transcript", responses=described("application/x-ndjson", "One JSON object a line"))
    async def transcript(
        session: SessionId,
        here: Here,
        offset: Offset = 0,
        follow: Annotated[bool, Query(description="Go on until the session has ended")] = False,
        form: Annotated[Literal["lines", "packets"], Query(alias="format")] = "lines",
    ) -> Response:
        """What a structured session said in neutral words: `kind`, `text`, `data`, and the `offset` in the recording
        where it was said. The offset asked for is in the transcript's own bytes; packets as of the recording."""
        found = await operations.find_transcript(session, here=here)
        if isinstance(found, str):
            packeted = play_transcript(operations, session, found, offset, follow=follow)
        else:
            packeted = found.play(offset, follow=follow)
        if form == "packets":
            framed_ones = framed(packeted, None)
            pieces = with_heartbeat(framed_ones, packets.gap(0, 0)) if follow else framed_ones
            return streams.answer(pieces, "application/octet-stream", {"x-offset": str(offset)})
        return streams.answer(plain(packeted, None), "application/x-ndjson", {"x-offset": str(offset)})

    @routes.get("/{session}/cast", responses=described("application/x-asciicast", "asciicast"))
    async def cast(session: SessionId, here: Here, version: Annotated[Literal["2", "3"], Query()] = "3") -> Response:
        """The recording for asciinema and other players."""
        found = await operations.find_recording(session, here=here)
        if not isinstance(found, str):
            return streams.answer(found.cast(int(version)), "application/x-asciicast")
        lines = cast_lines(Recording(found), version=int(version), title=session, exit_code=_exit_code(Path(found)))
        return streams.answer(pieces_of(_blocks(lines)), "application/x-asciicast")

    @routes.post("/{ref}/attach", responses=described(messages.AttachJson))
    async def attach(ref: Ref, here: Here, body: bodies.Attach = None) -> Response:
        """`ref` is a session or a task. A client on the same machine (`local`) gets the session's own socket, or one of
        ours that leads to it."""
        wanted = body or {}
        control, local = wanted.get("control", True), wanted.get("local", False)
        offer = await operations.attach(ref, control=control, local=local, here=here)
        elsewhere = local and offer.worker
        return answer(attach_json(offer, relays.offer(offer.session, offer.worker) if elsewhere else offer.address))

    @routes.websocket("/{session}/stream")
    async def stream_session(websocket: WebSocket, session: SessionId, ticket: str = "") -> None:
        await relay(operations, streams, websocket, ticket, session)

    return routes


def _exit_code(directory: Path) -> int | None:
    try:
        found = json.loads((directory / "exit.json").read_text())["exit_code"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, int) else None


def _blocks(lines: Iterator[str]) -> Iterator[bytes]:
    block = bytearray()
    for line in lines:
        block += line.encode("utf-8", "replace") + b"\n"
        if len(block) >= _CAST_BYTES:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)

"""The model server: all wire formats on one port, and the record of what was asked."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import zlib
from dataclasses import dataclass

from tests.real.models.anthropic import Anthropic
from tests.real.models.completions import Completions
from tests.real.models.gemini import Gemini
from tests.real.models.http import HttpServer, Request, Response
from tests.real.models.responses import Responses
from tests.real.models.scenarios import decide
from tests.real.models.talk import Answer, Asked, Reply, Wire

WIRES: tuple[Wire, ...] = (Anthropic(), Responses(), Completions(), Gemini())


@dataclass(frozen=True, slots=True)
class Seen:
    """One call to the model, as it came."""

    path: str
    asked: Asked
    reply: Reply


class ModelServer:
    """`with ModelServer() as server:` answers at `server.url` as the scenarios say."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.others: list[str] = []  # other requests: "METHOD path"
        self.open_streams = 0
        self._healed = threading.Event()
        self._http = HttpServer(self._handle)

    def __enter__(self) -> ModelServer:
        self._http.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.stop()

    def __repr__(self) -> str:
        return f"<ModelServer {len(self.seen)} calls, {self.open_streams} streams open, others {self.others[-5:]}>"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.port}"

    @property
    def failures(self) -> list[str]:
        """What the server itself stumbled over: a test that leaves any proves nothing."""
        return self._http.failures

    def heal(self) -> None:
        """From now on nothing fails."""
        self._healed.set()

    async def _handle(self, request: Request, response: Response) -> None:
        path = request.path.partition("?")[0]
        wire = next((one for one in WIRES if request.method == "POST" and one.takes(path)), None)
        if wire is None:
            self.others.append(f"{request.method} {path}")
            await response.json(404, {"error": {"type": "not_found_error", "message": "there is no such thing here"}})
            return
        asked = wire.read(request.path, json.loads(_plain(request)))
        reply = decide(asked, self._healed.is_set())
        self.seen.append(Seen(path, asked, reply))
        if reply.status != 200:
            await response.json(reply.status, wire.error(reply.status, reply.message), reply.headers)
        elif asked.stream:
            self.open_streams += 1
            try:
                await _stream(response, wire.answer(asked), reply)
            finally:
                self.open_streams -= 1
        else:
            whole = wire.whole(asked, "".join(reply.pieces), reply.call)
            await response.json(200, whole, cut=reply.cut is not None)


async def _stream(response: Response, answer: Answer, reply: Reply) -> None:
    await response.stream()
    await response.chunk(answer.begin())
    for at, piece in enumerate(reply.pieces):
        if reply.cut is not None and at >= reply.cut:
            response.cut()
        await response.chunk(answer.text(piece))
        if reply.pace:
            await asyncio.sleep(reply.pace)
    if reply.call is not None:
        await response.chunk(answer.call(reply.call))
    await response.chunk(answer.end())
    await response.finish()


def _plain(request: Request) -> bytes:
    match request.headers.get("content-encoding", ""):
        case "gzip":
            return gzip.decompress(request.body)
        case "deflate":
            return zlib.decompress(request.body)
        case _:
            return request.body

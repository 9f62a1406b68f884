"""A web server on loopback that answers as told, also badly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    to: str = ""


Answer = Callable[[Seen, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Web:
    """`routes` by path; the default answers 404. `gone` is set when a client hangs up."""

    routes: dict[str, Answer] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    port: int = 0
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def answer(self, path: str, body: bytes = b"", status: str = "200 OK", **headers: str) -> None:
        async def reply(seen: Seen, writer: asyncio.StreamWriter) -> None:
            lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}"]
            lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

        self.routes[path] = reply

    def raw(self, path: str, *chunks: bytes, hang: bool = False) -> None:
        """Exactly these bytes; with `hang` the connection then stays open until the client hangs up."""

        async def reply(seen: Seen, writer: asyncio.StreamWriter) -> None:
            for chunk in chunks:
                writer.write(chunk)
                await writer.drain()
            if hang:
                await self.gone.wait()

        self.routes[path] = reply

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.gone.set()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target, _ = head[0].split(" ")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            seen = Seen(method, target, headers, body, writer.get_extra_info("sockname")[0])
            self.seen.append(seen)
            answer = self.routes.get(target.partition("?")[0])
            if answer is None:
                writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 7\r\n\r\nno page")
            else:
                hangup = asyncio.ensure_future(reader.read())
                hangup.add_done_callback(lambda _: self.gone.set())
                await answer(seen, writer)
                hangup.cancel()
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

"""The HTTP side of `opencode serve`: the port it tells, requests with the session's own password, its event stream.

Nothing it answers is read without a bound.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from lite.aio.tasks import Job, spawn
from lite.drivers.agent import Agent, Gone
from lite.drivers.lines import Lines
from lite.drivers.outcome import Failed
from providers.base import EventKind, Failure
from providers.parsing import LineSplitter, Oversized, mapping_of, read_json, text_of

if TYPE_CHECKING:
    import httpx

_LISTENING = re.compile(rb"listening on http://127\.0\.0\.1:([0-9]{1,5})\s*\Z")
_USER = "opencode"
_LONGEST_ANSWER = 256 << 20  # bytes
_SILENCE_SECONDS = 45.0  # it sends a heartbeat every ten
_EXIT_SECONDS = 1.0  # from a connection that broke to the exit of a server that has crashed
_PLAIN_TOLD = 50  # lines of its stdout


class Refused(Exception):
    """An answer that is none of 2xx; `error` as the program writes its errors, with a name and data."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(text_of(mapping_of(error.get("data")).get("message")))
        self.status = status
        self.error = error


class Broken(Exception):
    """The connection ended, or nothing came for too long."""


class Server:
    """One server, of one directory."""

    def __init__(self, agent: Agent, lines: Lines, password: str, directory: str, seconds: float) -> None:
        self._agent = agent
        self._lines = lines
        self._auth = (_USER, password)
        self._directory = directory
        self._seconds = seconds  # for an answer, and for it to begin to listen
        self._client: httpx.AsyncClient | None = None
        self._printing: Job | None = None

    async def start(self) -> None:
        """Wait until it listens. Raises `Gone`, `Failed`."""
        try:
            async with asyncio.timeout(self._seconds):
                port = await self._port()
        except TimeoutError:
            text = f"opencode serve did not say within {self._seconds:g} s where it listens"
            raise Failed(Failure.NO_RESULT, text) from None
        import httpx

        self._client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            auth=self._auth,
            params={"directory": self._directory} if self._directory else {},
            timeout=httpx.Timeout(self._seconds),
            trust_env=False,  # no proxy stands between us and a neighbour
            follow_redirects=False,
        )
        self._printing = spawn(self._pass_output(), "driver.opencode.stdout")

    async def close(self) -> None:
        if self._printing is not None:
            self._printing.cancel()
        if self._client is not None:
            await self._client.aclose()

    async def get(self, path: str, **query: str) -> Any:
        return await self._call("GET", path, None, query)

    async def post(self, path: str, body: Any = None) -> Any:
        return await self._call("POST", path, body, {})

    async def patch(self, path: str, body: Any) -> Any:
        return await self._call("PATCH", path, body, {})

    async def events(self) -> AsyncGenerator[dict[str, Any], None]:
        """What it tells, until the stream ends. Raises `Broken`, `Gone`, `Refused`."""
        import httpx

        assert self._client is not None
        splitter = LineSplitter()
        try:
            async with self._client.stream("GET", "/event", timeout=httpx.Timeout(_SILENCE_SECONDS)) as response:
                if response.status_code != 200:
                    raise Refused(response.status_code, _error(b"", response.status_code, "/event"))
                async for data in response.aiter_raw():
                    for line in splitter.feed(data):
                        if (said := self._event(line)) is not None:
                            yield said
        except httpx.HTTPError as error:
            await self._raise_gone()
            raise Broken(str(error) or type(error).__name__) from error
        await self._raise_gone()
        raise Broken("the stream of events ended")

    def _event(self, line: bytes | Oversized) -> dict[str, Any] | None:
        if isinstance(line, Oversized):
            data = {"skipped_bytes": line.size}
            self._lines.say(EventKind.UNKNOWN, f"an event of {line.size} bytes was skipped", data)
            return None
        return read_json(line[5:]) if line.startswith(b"data:") else None

    async def _call(self, method: str, path: str, body: Any, query: dict[str, str]) -> Any:
        """The JSON value it answers, None for none. Raises `Refused`, `Broken`, `Gone`."""
        import httpx

        assert self._client is not None
        try:
            async with self._client.stream(method, path, json=body, params=query or None) as response:
                parts, size = [], 0
                async for data in response.aiter_bytes():
                    size += len(data)
                    if size > _LONGEST_ANSWER:
                        raise Broken(f"its answer is longer than {_LONGEST_ANSWER >> 20} MiB")
                    parts.append(data)
        except httpx.HTTPError as error:
            await self._raise_gone()
            raise Broken(f"{method} {path}: {error or type(error).__name__}") from error
        whole = b"".join(parts)
        if not 200 <= response.status_code < 300:
            raise Refused(response.status_code, _error(whole, response.status_code, path))
        try:
            return json.loads(whole) if whole.strip() else None
        except (ValueError, RecursionError) as error:
            raise Broken(f"what it answered to {path} is no JSON") from error

    async def _raise_gone(self) -> None:
        if await self._agent.wait(_EXIT_SECONDS):
            raise Gone

    async def _port(self) -> int:
        while (line := await self._agent.line()) is not None:
            if not isinstance(line, Oversized) and (found := _LISTENING.search(line)):
                return int(found[1])
            self._tell(line)
        raise Gone

    async def _pass_output(self) -> None:
        """It goes on printing perhaps; nobody may let it wait."""
        told = 0
        while (line := await self._agent.line()) is not None:
            told += 1
            if told <= _PLAIN_TOLD:
                self._tell(line)

    def _tell(self, line: bytes | Oversized) -> None:
        head = line.head if isinstance(line, Oversized) else line[:1000]
        if head.strip():
            self._lines.say(EventKind.UNKNOWN, head.decode("utf-8", "replace"), {"type": "stdout"})


def _error(body: bytes, status: int, path: str) -> dict[str, Any]:
    """What it answered instead; its message is there in any case."""
    said = read_json(body[: 1 << 16]) or {}
    data = mapping_of(said.get("data"))
    name = text_of(said.get("name")) or text_of(said.get("_tag"))
    message = text_of(data.get("message")) or text_of(said.get("message"))
    if not message and data:
        message = f"{name}: {json.dumps(data, ensure_ascii=False)[:2000]}"
    message = message or body[:1000].decode("utf-8", "replace").strip() or f"opencode answered {status} to {path}"
    return {"name": name, "data": {"message": message}}

"""Just enough HTTP/1.1 for a bridge: a request at a time, answers whole or as a stream. Every bridge has it in
memory, so it is small."""

from __future__ import annotations

import asyncio
import json
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

from lite.executors.kubernetes.pod_file import PodFile

_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 30.0
_HEAD = 64 << 10  # bytes of an answer's head, and of a line of its chunks
_BODY = 8 << 20  # bytes of an answer that is taken whole


class Unreachable(Exception):
    """The API server does not answer, or breaks off."""


class Refused(Exception):
    """It answers, with `status`."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.message = _message(body) or f"HTTP {status}"
        super().__init__(self.message)


class Api:
    """Requests for one pod, each over a connection of its own, with the credentials as the files have them now."""

    def __init__(self, pod: PodFile) -> None:
        self.pod = pod
        url = urlsplit(pod.server)
        self.secure = url.scheme == "https"
        self.host = url.hostname or ""
        self.port = url.port or (443 if self.secure else 80)
        self._authority = url.netloc.rpartition("@")[2]
        self._base = url.path.rstrip("/")

    def path(self, tail: str = "") -> str:
        return f"{self._base}/api/v1/namespaces/{self.pod.namespace}/pods/{self.pod.pod}{tail}"

    def watch_path(self, version: str) -> str:
        query = f"watch=1&fieldSelector=metadata.name%3D{self.pod.pod}&resourceVersion={version}"
        return f"{self._base}/api/v1/namespaces/{self.pod.namespace}/pods?{query}&allowWatchBookmarks=true"

    def headers(self) -> dict[str, str]:
        """Raises `Unreachable` when the token cannot be read."""
        if not self.pod.token_file:
            return {}
        try:
            with open(self.pod.token_file, encoding="utf-8") as file:
                token = file.read(1 << 20).strip()
            return {"Authorization": token if " " in token else f"Bearer {token}"}
        except OSError as error:
            raise Unreachable(f"{self.pod.token_file}: {error.strerror}") from error

    def tls(self) -> ssl.SSLContext | None:
        """Raises `Unreachable` when a file of it cannot be read."""
        if not self.secure:
            return None
        try:
            context = ssl.create_default_context(cafile=self.pod.ca or None)
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # clusters' own certificates often lack what it wants
            if not self.pod.verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if self.pod.cert:
                context.load_cert_chain(self.pod.cert, self.pod.key or None)
        except (OSError, ValueError) as error:
            raise Unreachable(f"certificates: {error}") from error
        return context

    @property
    def server_name(self) -> str | None:
        return (self.pod.server_name or self.host) if self.secure else None

    async def call(self, method: str, path: str, body: object = None) -> Any:
        """The answer's JSON. Raises `Unreachable`, `Refused`."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                async with self.stream(method, path, body) as parts:
                    data = bytearray()
                    async for part in parts:
                        data += part
                        if len(data) > _BODY:
                            raise Unreachable("an answer without end")
            return json.loads(bytes(data))
        except TimeoutError as error:
            raise Unreachable("no answer in time") from error
        except ValueError as error:
            raise Unreachable(f"no JSON: {error}") from error

    @asynccontextmanager
    async def stream(self, method: str, path: str, body: object = None) -> AsyncIterator[AsyncIterator[bytes]]:
        """The answer's body as it comes. Raises `Refused`; `Unreachable`, also while it is read."""
        content = json.dumps(body).encode() if body is not None else b""
        head = [f"{method} {path} HTTP/1.1", f"Host: {self._authority}", "Accept: application/json, */*"]
        head += [f"{name}: {value}" for name, value in self.headers().items()]
        head += ["Content-Type: application/json"] if content else []
        head += [f"Content-Length: {len(content)}", "Connection: close", "", ""]
        context = self.tls()
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                reader, writer = await self._connect(context)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise Unreachable(str(error) or "no connection in time") from error
        try:
            writer.write("\r\n".join(head).encode() + content)
            async with asyncio.timeout(_ANSWER_SECONDS):
                await writer.drain()
                status, headers = await _head(reader)
                if status >= 400:
                    raise Refused(status, await _first(_body(reader, headers)))
            yield _body(reader, headers)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise Unreachable(str(error) or "no answer in time") from error
        finally:
            writer.close()

    async def _connect(self, context: ssl.SSLContext | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Raises `Unreachable`, and what reading and writing raises."""
        if not self.pod.proxy:
            return await asyncio.open_connection(
                self.host, self.port, ssl=context, server_hostname=self.server_name, limit=_HEAD
            )
        proxy = urlsplit(self.pod.proxy)
        reader, writer = await asyncio.open_connection(proxy.hostname, proxy.port or 80, limit=_HEAD)
        try:
            host = f"[{self.host}]" if ":" in self.host else self.host
            lines = [f"CONNECT {host}:{self.port} HTTP/1.1", f"Host: {host}:{self.port}"]
            if proxy.username is not None:
                known = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
                lines.append(f"Proxy-Authorization: Basic {b64encode(known.encode()).decode()}")
            writer.write("\r\n".join([*lines, "", ""]).encode())
            status, _ = await _head(reader)
            if status != 200:
                raise Unreachable(f"the proxy {proxy.hostname} says {status}")
            if context is not None:
                await writer.start_tls(context, server_hostname=self.server_name)
        except BaseException:
            writer.close()
            raise
        return reader, writer


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    while True:
        try:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            status = int(first.split(" ", 2)[1])
        except (IndexError, ValueError) as error:
            raise Unreachable("not an answer of an HTTP server") from error
        if status >= 200:
            fields = (line.partition(":") for line in lines if line)
            return status, {name.strip().lower(): value.strip() for name, _, value in fields}


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> AsyncIterator[bytes]:
    try:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            while True:
                size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
                if not size:
                    return
                while size:
                    part = await reader.read(min(size, 1 << 16))
                    if not part:
                        raise Unreachable("the connection was cut")
                    size -= len(part)
                    yield part
                await reader.readexactly(2)
        elif "content-length" in headers:
            left = int(headers["content-length"])
            while left:
                part = await reader.read(min(left, 1 << 16))
                if not part:
                    raise Unreachable("the connection was cut")
                left -= len(part)
                yield part
        else:
            while part := await reader.read(1 << 16):
                yield part
    except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise Unreachable(str(error) or "the connection was cut") from error


async def _first(parts: AsyncIterator[bytes]) -> bytes:
    data = b""
    async for part in parts:
        data += part
        if len(data) > _HEAD:
            break
    return data


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])[:500]
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace").strip()

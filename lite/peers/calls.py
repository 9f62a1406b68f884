"""Requests to a peer, each with an end in time and in size; what goes wrong becomes `PeerUnavailable`."""

from __future__ import annotations

import asyncio
import importlib
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lite.api.exchange import rebuilt, target
from lite.api.headers import HERE_ONLY
from lite.errors import ExecutorError, NotFound, PeerUnavailable, QuarterdeckError, SessionRefused
from lite.model.worker import Worker
from lite.peers.judging import Nonsense
from lite.ports import Clock

if TYPE_CHECKING:
    import httpx

_CONNECT_SECONDS = 3.0
_MAX_ANSWER = 1 << 18  # bytes of a JSON answer
_MOST_WORDS = 400  # characters of what a peer says that are repeated to the user
_MOST_SILENT = 1000  # unreachable workers remembered


class Unreachable(PeerUnavailable):
    """It may answer when asked again."""


class Calls:
    """One per process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._client: httpx.AsyncClient | None = None
        self._since: dict[str, int] = {}  # worker -> when it first did not answer, ms

    def __repr__(self) -> str:
        return f"<Calls, {len(self._since)} silent>"

    async def ask(
        self, worker: Worker, method: str, path: str, body: Mapping[str, object] | None = None, *, seconds: float
    ) -> Any:
        """The JSON answer. Raises `PeerUnavailable`, or what the peer refuses with: `NotFound`, `SessionRefused`."""
        try:
            async with asyncio.timeout(seconds), self.answer(worker, method, path, body, silence=seconds) as response:
                content = await _limited(response)
                return json.loads(content)
        except TimeoutError:
            raise self.unreachable(worker, f"no answer within {seconds:g} s") from None
        except (ValueError, RecursionError):
            raise self.nonsense(worker, Nonsense("an answer that is no JSON")) from None
        except Nonsense as error:
            raise self.nonsense(worker, error) from None

    @asynccontextmanager
    async def answer(
        self,
        worker: Worker,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        query: Mapping[str, object] | None = None,
        silence: float,
    ) -> AsyncIterator[httpx.Response]:
        """The answer's head; its body is read by `aiter_raw`. `silence`: seconds without a byte that are too many."""
        client = await self._ready()
        import httpx

        url = base(worker) + target(path, query or {})
        try:
            async with client.stream(
                method,
                url,
                content=None if body is None else json.dumps(body).encode(),
                headers={**headers(worker), HERE_ONLY: "1", "accept-encoding": "identity"},
                timeout=httpx.Timeout(silence, connect=min(silence, _CONNECT_SECONDS)),
            ) as response:
                if response.status_code != 200:
                    raise self._refusal(worker, response.status_code, await _limited(response))
                self.reached(worker)
                yield response
        except httpx.InvalidURL:
            raise no_address(worker) from None
        except httpx.HTTPError as error:
            raise self.unreachable(worker, _words(str(error)) or type(error).__name__) from None

    def reached(self, worker: Worker) -> None:
        self._since.pop(worker.id, None)

    def unreachable(self, worker: Worker, why: str) -> Unreachable:
        """The error for a worker that does not answer; it says since when."""
        if worker.id not in self._since and len(self._since) >= _MOST_SILENT:
            self._since.pop(next(iter(self._since)))
        since = datetime.fromtimestamp(self._since.setdefault(worker.id, self._clock.now()) / 1000, UTC)
        return Unreachable(
            f"not available: worker {worker.id} cannot be reached since {since:%Y-%m-%d %H:%M:%S} UTC ({why})",
            hint="its sessions may go on without us; qd workers tells when it comes back",
        )

    def nonsense(self, worker: Worker, error: Nonsense) -> PeerUnavailable:
        return PeerUnavailable(
            f"not available: what answers for worker {worker.id} does not speak as one of ours: {error}",
            hint=f"is {worker.address} the address of a supervisor of this version?",
        )

    def _refusal(self, worker: Worker, status: int, content: bytes) -> QuarterdeckError:
        if status in (401, 403):
            return refused(worker)
        if status < 400:
            raise Nonsense(f"status {status}")
        told = rebuilt(status, content)
        message, hint = _words(told.message), _words(told.hint)
        if isinstance(told, NotFound):
            self.reached(worker)
            return NotFound(message, hint=hint)
        if isinstance(told, ExecutorError):
            self.reached(worker)
            return SessionRefused(message, hint=hint)
        if status >= 500:
            return self.unreachable(worker, message)
        return PeerUnavailable(f"not available: worker {worker.id} says: {message}", hint=hint)

    async def _ready(self) -> httpx.AsyncClient:
        """No connection is kept: there is nothing to close at the end."""
        if self._client is None:
            await asyncio.to_thread(importlib.import_module, "httpx")  # need not hold up the loop
            import httpx

            self._client = httpx.AsyncClient(
                verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # never used: addresses are http
                trust_env=False,
                follow_redirects=False,
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            )
        return self._client


def base(worker: Worker) -> str:
    """`http://host:port`. Raises `PeerUnavailable`."""
    try:
        parts = urlsplit(worker.address)
        port = parts.port
    except ValueError:
        raise no_address(worker) from None
    plain = parts.scheme == "http" and parts.hostname and port and parts.path in ("", "/")
    if not plain or parts.query or parts.fragment or "@" in parts.netloc:
        raise no_address(worker)
    return f"http://{parts.netloc}"


def headers(worker: Worker) -> dict[str, str]:
    if not (worker.token and worker.token.isascii() and worker.token.isprintable()):
        raise refused(worker)
    return {"authorization": f"Bearer {worker.token}"}


def no_address(worker: Worker) -> PeerUnavailable:
    if worker.address:
        return PeerUnavailable(f"not available: worker {worker.id} gives an address that is none")
    return PeerUnavailable(
        f"not available: worker {worker.id} cannot be reached from other machines",
        hint="qd up --listen HOST:PORT there",
    )


def refused(worker: Worker) -> PeerUnavailable:
    return PeerUnavailable(f"not available: worker {worker.id} does not take our token", hint="qd workers")


async def _limited(response: httpx.Response) -> bytes:
    content = bytearray()
    async for piece in response.aiter_raw(1 << 16):
        content += piece
        if len(content) > _MAX_ANSWER:
            raise Nonsense(f"an answer of over {_MAX_ANSWER} bytes")
    return bytes(content)


def _words(text: str) -> str:
    """What a peer says, for one line of ours."""
    plain = "".join(character if character.isprintable() else " " for character in text[: 2 * _MOST_WORDS])
    return " ".join(plain.split())[:_MOST_WORDS]

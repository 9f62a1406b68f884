"""One connection of ours to the server: opened when needed, dropped whole when anything about it is doubtful."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from redis import exceptions
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

    from lite.model.settings import RedisOptions


def place_of(options: RedisOptions) -> str:
    """The server, for a person: no secrets."""
    parts = urlsplit(options.url)
    host = parts.hostname or ""
    if parts.scheme == "unix":
        return f"unix:{parts.path}"
    return f"{parts.scheme}://{host}:{parts.port or 6379}/{parts.path.strip('/') or 0}"


def pool(options: RedisOptions, name: str) -> ConnectionPool:
    """Makes connections; ours are not shared, so nothing is ever handed back to it. Answers are bytes."""
    extra: dict[str, Any] = {}
    if options.username:
        extra["username"] = options.username
    if options.password:
        extra["password"] = options.password
    if options.url.startswith("rediss:"):
        extra["ssl_cert_reqs"] = "required" if options.verify else "none"
        extra["ssl_check_hostname"] = options.verify
        for ours, theirs in (("ca", "ssl_ca_certs"), ("cert", "ssl_certfile"), ("key", "ssl_keyfile")):
            if getattr(options, ours):
                extra[theirs] = getattr(options, ours)
    if not options.url.startswith("unix:"):
        extra["socket_keepalive"] = True
    return ConnectionPool.from_url(
        options.url,
        socket_connect_timeout=options.connect_ms / 1000,
        socket_timeout=None,  # `Link` sets one limit to a whole question
        retry=Retry(NoBackoff(), 0),
        client_name=f"quarterdeck-{name}",
        **extra,
    )


class Link:
    """A connection with one question at a time. Whatever goes wrong, also a cancellation, drops it: an answer that
    comes late must not be taken for another question's."""

    def __init__(
        self, options: RedisOptions, name: str, greet: Callable[[Link], Awaitable[None]] | None = None
    ) -> None:
        """`greet` is the first to use each new connection."""
        self._pool = pool(options, name)
        self._answer = options.answer_ms / 1000
        self._connect = (options.connect_ms + options.answer_ms) / 1000  # it introduces itself, too
        self._greet = greet
        self._connection: AbstractConnection | None = None

    async def ask(self, *command: Any, patience: float | None = None) -> Any:
        """The answer. Raises redis-py's errors, OSError, TimeoutError. `patience` (s): for one that blocks."""
        await self.connect()
        connection = self._connection
        assert connection is not None
        try:
            async with asyncio.timeout(patience or self._answer):
                await _cancellable(connection.send_command(*command))
                return await connection.read_response()
        except Exception as error:
            if not _answered(error):
                await self.drop()
            raise
        except BaseException:
            self._abandon()
            raise

    async def hear(self, *command: Any, patience: float) -> Any:
        """Send `command`, if any; then what the server says next, also unasked (to a subscriber). None: nothing for
        `patience` seconds."""
        await self.connect()
        connection = self._connection
        assert connection is not None
        try:
            if command:
                async with asyncio.timeout(self._answer):
                    await _cancellable(connection.send_command(*command))
            return await connection.read_response(timeout=patience, push_request=True)
        except Exception:
            await self.drop()
            raise
        except BaseException:
            self._abandon()
            raise

    async def connect(self) -> None:
        """No-op while there is a connection."""
        if self._connection is not None:
            return
        try:
            connection = self._connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
            async with asyncio.timeout(self._connect):
                await _cancellable(connection.connect())
            if self._greet is not None:
                await self._greet(self)
        except Exception:
            await self.drop()
            raise
        except BaseException:
            self._abandon()
            raise

    async def drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.disconnect()
            except (OSError, exceptions.RedisError):
                pass  # it is gone one way or another

    def _abandon(self) -> None:
        """At once, without waiting for anything."""
        connection, self._connection = self._connection, None
        writer = getattr(connection, "_writer", None)
        if connection is not None and writer is not None:
            writer.transport.abort()
            connection._reader = connection._writer = None


async def _cancellable(work: Awaitable[None]) -> None:
    """redis-py, and `asyncio.wait_for` of Python 3.11, may swallow a cancellation while they connect or send."""
    job = asyncio.current_task()
    before = job.cancelling() if job is not None else 0
    await work
    if job is not None and job.cancelling() > before:
        raise asyncio.CancelledError


def _answered(error: Exception) -> bool:
    """Was it an answer of the server, so that the connection is as good as before?"""
    return isinstance(error, exceptions.ResponseError) and not isinstance(
        error, exceptions.ConnectionError | exceptions.ReadOnlyError
    )

"""One supervisor's socket: calls over a connection that is kept, streams over one each. Light to import."""

from __future__ import annotations

import json
import time

from lite import __version__
from lite.api.exchange import HINT, Connection, Disconnected, rebuilt, target
from lite.errors import NoSupervisor

TYPE_CHECKING = False  # type checkers take it for true; importing typing costs as much as argparse
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Self

_SILENCE = 45.0  # seconds; streams carry a heartbeat every 10
_HEADERS = {"User-Agent": f"qd/{__version__}", "Accept": "application/json"}


class Channel:
    """Not thread-safe, but for `abort`."""

    def __init__(self, socket_path: str, *, timeout: float = 30.0) -> None:
        self._path = socket_path
        self._timeout = timeout
        self._kept: Connection | None = None
        self._streams: set[Connection] = set()
        self._aborted = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._path} {'connected' if self._kept else 'idle'}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    def abort(self) -> None:
        """For another thread: end what is going on, and whatever would begin; it raises `NoSupervisor`."""
        self._aborted = True
        for connection in (*self._streams, self._kept):
            if connection is not None:
                connection.abort()

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        timeout: float | None = None,
        query: dict[str, object] | None = None,
    ) -> Any:
        """The JSON answer. Raises the error the supervisor answered with, or `NoSupervisor`. `timeout` in seconds."""
        seconds = self._timeout if timeout is None else timeout
        try:
            _, data = self._exchange(method, target(path, query or {}), body, seconds)
        except TimeoutError:
            self.close()
            raise NoSupervisor(f"the supervisor did not answer within {seconds:g} s", hint="qd doctor") from None
        except Disconnected as error:
            self.close()
            raise NoSupervisor(f"{error} before it answered", hint=HINT) from None
        return _decode(data)

    def _exchange(self, method: str, path: str, body: object, seconds: float) -> tuple[dict[str, str], bytes]:
        data = b"" if body is None else json.dumps(body).encode()
        headers = _HEADERS | {"Content-Type": "application/json"} if data else _HEADERS
        for attempt in (1, 2):
            reused = self._kept is not None and not self._kept.stale
            if not reused:
                self.close()
                self._kept = Connection(self._path, seconds)
            connection = self._kept
            assert connection is not None
            connection.settimeout(seconds)
            try:
                if self._aborted:
                    raise Disconnected("it was left")
                connection.send(method, path, headers, data)
                status, answered = connection.answer()
                content = b"".join(connection.body())
            except Disconnected as error:
                self.close()
                if reused and attempt == 1 and (error.unsent or method == "GET"):
                    continue
                raise
            if connection.closing:
                self.close()
            if status >= 400:
                raise rebuilt(status, content)
            return answered, content
        raise AssertionError("unreachable")

    def stream(self, path: str, patience: float, deadline: float | None = None) -> Iterator[bytes]:
        """Pieces of the body as they come, an empty one when connected, until it ends or `deadline`. A supervisor that
        does not listen is waited for until `patience` (both of `time.monotonic`). Raises `Disconnected`,
        `TimeoutError`."""
        connection = self._connect(patience, deadline)
        if connection is None:
            return
        self._streams.add(connection)
        try:
            if self._aborted:  # between the two
                raise Disconnected("it was left")
            connection.send("GET", path, _HEADERS, b"")
            status, _ = connection.answer()
            if status >= 400:
                raise rebuilt(status, b"".join(connection.body()))
            yield b""
            pieces = connection.body()
            while True:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return
                connection.settimeout(_SILENCE if left is None else min(left, _SILENCE))
                piece = next(pieces, None)
                if piece is None:
                    return
                yield piece
        finally:
            self._streams.discard(connection)
            connection.close()

    def _connect(self, patience: float, deadline: float | None) -> Connection | None:
        delay = 0.02
        while True:
            if self._aborted:
                raise NoSupervisor("it was left")
            try:
                return Connection(self._path, self._timeout)
            except NoSupervisor:
                now = time.monotonic()
                if deadline is not None and now >= deadline:
                    return None
                if now >= patience:
                    raise
            time.sleep(delay)  # nobody is there to be waited on
            delay = min(delay * 2, 0.5)


def _decode(data: bytes) -> Any:
    return json.loads(data) if data.strip() else None

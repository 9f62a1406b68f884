"""The synchronous client of the control API: a Unix socket, a small HTTP/1.1 exchange, JSON. Light to import.

Errors arrive as the class of `lite.errors` that the supervisor raised, with its message, hint and place. All waiting
is built on the event stream; nothing polls a running supervisor.
"""

from __future__ import annotations

import json
import time

from lite import __version__
from lite.api.exchange import HINT, Connection, Disconnected, quote, rebuilt, target
from lite.errors import NoSupervisor

TYPE_CHECKING = False  # type checkers take it for true; importing typing costs as much as argparse
if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from typing import Any

    from lite.api.messages import (
        AccountJson,
        ActivityJson,
        AgentJson,
        AttachJson,
        ConfigJson,
        CostsJson,
        EventJson,
        ExplanationJson,
        HealthJson,
        InspectionJson,
        PlanBody,
        PlanSubmittedJson,
        RunJson,
        SendJson,
        StatusJson,
        SubmitBody,
        SubmittedJson,
        TaskJson,
        WorkerJson,
    )

_SILENCE = 45.0  # seconds; streams carry a heartbeat every 10
_BREATH = 0.05  # seconds before a broken stream is opened again
_PAGE = 1000
_HEADERS = {"User-Agent": f"qd/{__version__}", "Accept": "application/json"}


class Client:
    """One supervisor, by its socket. One connection is kept for calls; every stream opens its own. Not thread-safe, but
    for `abort`."""

    def __init__(self, socket_path: str, *, timeout: float = 30.0) -> None:
        self._path = socket_path
        self._timeout = timeout
        self._kept: Connection | None = None
        self._streams: set[Connection] = set()
        self._aborted = False

    def __repr__(self) -> str:
        return f"<Client {self._path} {'connected' if self._kept else 'idle'}>"

    def __enter__(self) -> Client:
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

    # the supervisor

    def health(self) -> HealthJson:
        return self.call("GET", "/health")  # type: ignore[no-any-return]

    def status(self) -> StatusJson:
        return self.call("GET", "/v1/status")  # type: ignore[no-any-return]

    def config(self) -> ConfigJson:
        return self.call("GET", "/v1/config")  # type: ignore[no-any-return]

    def reload(self) -> ConfigJson:
        """Read the configuration again. Raises `ConfigInvalid`; the last good one then stays in force."""
        return self.call("POST", "/v1/reload")  # type: ignore[no-any-return]

    def shutdown(self, keep_sessions: bool = False) -> None:
        """Ask it to stop; returns once asked."""
        self.call("POST", "/v1/shutdown", {"keep_sessions": keep_sessions})
        self.close()

    # work

    def submit(self, body: SubmitBody) -> SubmittedJson:
        return self.call("POST", "/v1/tasks", body)  # type: ignore[no-any-return]

    def submit_plan(
        self, text: str, *, source: str = "", cwd: str = "", key: str = "", dry_run: bool = False, watched: bool = False
    ) -> PlanSubmittedJson:
        body: PlanBody = {"text": text, "source": source, "cwd": cwd, "key": key, "dry_run": dry_run}
        if watched:
            body["watched"] = True
        return self.call("POST", "/v1/plans", body)  # type: ignore[no-any-return]

    def tasks(
        self,
        *,
        run: str | None = None,
        state: Iterable[str] = (),
        agent: str = "",
        name: str = "",
        worker: str = "",
        dead: bool = False,
        after: int = 0,
        limit: int | None = None,
        newest: bool = False,
    ) -> list[TaskJson]:
        """In order of submission; with `newest` and `limit` the newest ones. `run` is an id, prefix or name; "" asks
        for tasks of no run. `after`: a task's `seq`."""
        query: dict[str, object] = {
            "run": run,
            "adhoc": run == "" or None,
            "state": list(state),
            "agent": agent,
            "name": name,
            "worker": worker,
            "dead": dead or None,
            "after": after or None,
            "limit": limit,
            "newest": newest or None,
        }
        return self.call("GET", "/v1/tasks", query=query)  # type: ignore[no-any-return]

    def task(self, ref: str) -> TaskJson:
        """`ref`: an id, a unique prefix, or `run/name`. Raises `NotFound` or `Ambiguous`."""
        return self.call("GET", _task(ref))  # type: ignore[no-any-return]

    def runs(self, *, state: Iterable[str] = (), limit: int | None = None, newest: bool = False) -> list[RunJson]:
        query: dict[str, object] = {"state": list(state), "limit": limit, "newest": newest or None}
        return self.call("GET", "/v1/runs", query=query)  # type: ignore[no-any-return]

    def run(self, ref: str) -> RunJson:
        return self.call("GET", f"/v1/runs/{quote(ref)}")  # type: ignore[no-any-return]

    def explain(self, ref: str) -> ExplanationJson:
        return self.call("GET", _task(ref) + "/explain")  # type: ignore[no-any-return]

    def cancel(self, ref: str, reason: str = "user") -> TaskJson:
        return self.call("POST", _task(ref) + "/cancel", {"reason": reason})  # type: ignore[no-any-return]

    def retry(self, ref: str) -> TaskJson:
        return self.call("POST", _task(ref) + "/retry")  # type: ignore[no-any-return]

    def send(self, ref: str, data: str | bytes) -> SendJson:
        """Type `data` into the task's session as it is (no newline is added)."""
        if isinstance(data, str):
            data = data.encode("utf-8", "surrogateescape")
        from binascii import b2a_base64

        body = {"base64": b2a_base64(data, newline=False).decode()}
        return self.call("POST", _task(ref) + "/send", body)  # type: ignore[no-any-return]

    def answer(self, ref: str, question: str, decision: str, text: str = "", hash: str = "") -> SendJson:
        """`decision`: "allow", "deny" or "answer" to exactly this question of a task or session."""
        body = {"id": question, "decision": decision, "text": text, "hash": hash}
        return self.call("POST", _task(ref) + "/answer", body)  # type: ignore[no-any-return]

    # sessions

    def attach(self, ref: str, *, control: bool = True, local: bool = True) -> AttachJson:
        """`ref` is a task or a session. Raises `SessionRefused`."""
        body = {"control": control, "local": local}
        return self.call("POST", f"/v1/sessions/{quote(ref)}/attach", body)  # type: ignore[no-any-return]

    def session(self, session: str) -> InspectionJson:
        """A look at a session, live or ended, wherever it is."""
        return self.call("GET", f"/v1/sessions/{quote(session)}")  # type: ignore[no-any-return]

    def recording(
        self, session: str, offset: int = 0, *, follow: bool = False, stream: str = ""
    ) -> Generator[tuple[int, int, bytes], None, None]:
        """(logical offset, stream as in `lite.terminal.packets`, bytes) from `offset` on; a jump of the offset is a gap
        in what was kept. `stream`: only "out" or "err". With `follow`: until the session has ended, across restarts of
        the supervisor."""
        path = f"/v1/sessions/{quote(session)}/recording"
        yield from self._played(path, offset, {"stream": stream}, follow=follow)

    def transcript(
        self, session: str, offset: int = 0, *, follow: bool = False
    ) -> Generator[tuple[int, bytes], None, None]:
        """(offset, bytes) of the lines of a structured session's transcript, as `lite.transcripts.lines` reads them; in
        the same way. Raises `NotFound` when it has none."""
        path = f"/v1/sessions/{quote(session)}/transcript"
        for at, _, data in self._played(path, offset, {}, follow=follow):
            yield at, data

    def _played(
        self, path: str, offset: int, only: dict[str, object], *, follow: bool
    ) -> Generator[tuple[int, int, bytes], None, None]:
        from lite.terminal import packets

        while True:
            query = {"offset": offset, **only, "follow": follow or None, "format": "packets"}
            decoder = packets.Decoder()
            try:
                for data in self._stream(target(path, query), time.monotonic() + 20.0):
                    for kind, payload in decoder.feed(data):
                        if kind == packets.OUTPUT:
                            at, which, chunk = packets.parse_output(payload)
                            offset = at + len(chunk)
                            yield at, which, chunk
                        elif kind == packets.GAP:
                            offset = max(offset, packets.parse_gap(payload)[1])  # an empty one is a heartbeat
                        elif kind == packets.EXIT:
                            return
            except (Disconnected, TimeoutError) as error:
                if not follow:
                    raise NoSupervisor(f"the output broke off at {offset}: {error}", hint="try again") from None
            if not follow:
                return
            time.sleep(_BREATH)

    def cast(self, session: str) -> Iterator[bytes]:
        """The recording as an asciicast file."""
        try:
            yield from self._stream(f"/v1/sessions/{quote(session)}/cast", 0.0)
        except (Disconnected, TimeoutError):
            raise NoSupervisor("the connection broke during the export", hint="try again") from None

    # the fleet

    def workers(self) -> list[WorkerJson]:
        return self.call("GET", "/v1/workers")  # type: ignore[no-any-return]

    def cordon(self, worker: str, on: bool = True) -> WorkerJson:
        return self.call("POST", f"/v1/workers/{quote(worker)}/cordon", {"on": on})  # type: ignore[no-any-return]

    def deregister(self, worker: str) -> WorkerJson:
        """Forget a dead worker. Raises `IllegalState` for one that is alive."""
        return self.call("POST", f"/v1/workers/{quote(worker)}/deregister")  # type: ignore[no-any-return]

    def costs(self, by: str = "agent", since: int = 0) -> CostsJson:
        """`since` in ms since the epoch."""
        return self.call("GET", f"/v1/costs?by={quote(by)}&since={since}")  # type: ignore[no-any-return]

    def release(self, account: str) -> AccountJson:
        """Of a held account, or an agent whose account is held. Raises `NotFound`."""
        return self.call("POST", "/v1/accounts/release", {"account": account})  # type: ignore[no-any-return]

    def agents(self) -> list[AgentJson]:
        return self.call("GET", "/v1/agents")  # type: ignore[no-any-return]

    def events(
        self,
        after: int = 0,
        follow: bool = False,
        run: str = "",
        task: str = "",
        *,
        deadline: float | None = None,
        patience: float = 20.0,
    ) -> Iterator[EventJson]:
        """Entries of the log with a cursor greater than `after` (-1: only what comes). With `follow` it goes on until
        `deadline` (of `time.monotonic`), reconnecting at the cursor when the supervisor restarts; raises `NoSupervisor`
        after `patience` seconds without one."""
        if not follow:
            if after < 0:
                return
            while True:
                query: dict[str, object] = {"after": after, "limit": _PAGE, "run": run, "task": task}
                page: list[EventJson] = self.call("GET", "/v1/events", query=query)
                yield from page
                if len(page) < _PAGE:
                    return
                after = page[-1]["cursor"]
        if after < 0:
            after = self.status()["cursor"]
        while True:
            path = target("/v1/events/stream", {"after": after, "run": run, "task": task})
            try:
                for line in _lines(self._stream(path, time.monotonic() + patience, deadline)):
                    event: EventJson = json.loads(line)
                    after = event["cursor"]
                    yield event
            except (Disconnected, TimeoutError):
                pass
            if deadline is not None and time.monotonic() >= deadline:
                return
            time.sleep(_BREATH)

    def event_pages(self, after: int) -> Generator[list[EventJson], None, None]:
        """The log from `after` on over one connection, in pages as they arrive; an empty page is a heartbeat, and the
        first says that it is connected. Raises `NoSupervisor` when the connection ends."""
        yield from self._pages(target("/v1/events/stream", {"after": after}))

    def activities(self) -> Generator[list[ActivityJson], None, None]:
        """Changes of activity from now on, in the same way."""
        yield from self._pages("/v1/activities/stream")

    def _pages(self, path: str) -> Generator[list[Any], None, None]:
        rest = b""
        try:
            for piece in self._stream(path, 0.0):
                *whole, rest = (rest + piece).split(b"\n")
                yield [json.loads(line) for line in whole if line]
        except (Disconnected, TimeoutError) as error:
            raise NoSupervisor(f"the supervisor has gone: {error}", hint=HINT) from None
        raise NoSupervisor("the supervisor has ended", hint=HINT)

    # helpers

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

    def _stream(self, path: str, patience: float, deadline: float | None = None) -> Iterator[bytes]:
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


def _task(ref: str) -> str:
    return f"/v1/tasks/{quote(ref)}"


def _decode(data: bytes) -> Any:
    return json.loads(data) if data.strip() else None


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Lines of NDJSON; empty ones are heartbeats."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line for line in whole if line)

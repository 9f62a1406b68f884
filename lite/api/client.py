"""The synchronous client of the control API: one method a verb. Light to import.

Errors arrive as the class of `lite.errors` that the supervisor raised, with its message, hint and place. All waiting
is built on the event stream; nothing polls a running supervisor.
"""

from __future__ import annotations

import json
import time

from lite.api.channel import Channel
from lite.api.exchange import HINT, Disconnected, quote, target
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

_BREATH = 0.05  # seconds before a broken stream is opened again
_PAGE = 1000


class Client(Channel):
    """The verbs of one supervisor."""

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
                for data in self.stream(target(path, query), time.monotonic() + 20.0):
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
            yield from self.stream(f"/v1/sessions/{quote(session)}/cast", 0.0)
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
                for line in _lines(self.stream(path, time.monotonic() + patience, deadline)):
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
            for piece in self.stream(path, 0.0):
                *whole, rest = (rest + piece).split(b"\n")
                yield [json.loads(line) for line in whole if line]
        except (Disconnected, TimeoutError) as error:
            raise NoSupervisor(f"the supervisor has gone: {error}", hint=HINT) from None
        raise NoSupervisor("the supervisor has ended", hint=HINT)


def _task(ref: str) -> str:
    return f"/v1/tasks/{quote(ref)}"


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Lines of NDJSON; empty ones are heartbeats."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line for line in whole if line)

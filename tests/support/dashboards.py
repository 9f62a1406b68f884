"""For tests of the dashboard: fleets made of a few words, and a gateway that remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from lite.errors import NotFound
from tui.state import Activity, Asked, Fleet, Link, RunView, SupervisorView, TaskView, WorkerView

NOW = 1_700_000_000_000  # ms; where frozen clocks stand


def now() -> int:
    return NOW


def task(name: str = "", **fields: Any) -> TaskView:
    """A task whose id is its name. `doing="working"` is short for its activity, `asks="Sure?"` for what it waits for;
    a task that has begun gets a session and times."""
    doing, asks = fields.pop("doing", ""), fields.pop("asks", "")
    usual: dict[str, Any] = {"id": name, "name": name, "agent": "dev", "provider": "scripted"}
    fields = usual | {"created_at": NOW - 600_000} | fields
    if asks:
        doing = doing or "waiting"
        fields.setdefault("waiting", Asked(f"{fields['id']}-q", "question", asks, "hash", NOW - 60_000))
    if doing:
        fields.setdefault("state", "running")
        fields.setdefault("activity", Activity(doing, "events", "test", NOW - 60_000, asks))
    begun = fields.get("state", "queued") not in ("queued", "skipped")
    if begun:
        fields = {"attempt": 1, "session": f"{fields['id']}-1", "started_at": NOW - 300_000} | fields
    if fields.get("state") == "running":
        fields.setdefault("worker", "w1")
    if fields.get("state", "queued") not in ("queued", "running"):
        fields.setdefault("ended_at", NOW - 120_000)
    return TaskView(**fields)


def fleet(
    *tasks: TaskView,
    runs: Iterable[RunView] | None = None,
    workers: Iterable[WorkerView] | None = None,
    **fields: Any,
) -> Fleet:
    """A live and complete fleet of these tasks, in this order of submission. Runs not given are made of the tasks."""
    ordered = [replace(each, seq=seq) for seq, each in enumerate(tasks, 1)]
    if runs is None:
        runs = [RunView(run, run, created_at=NOW - 600_000) for run in dict.fromkeys(t.run for t in ordered) if run]
    if workers is None:
        running = tuple(each.id for each in ordered if each.state == "running")
        workers = [WorkerView("w1", "here", "busy" if running else "idle", 8, running)]
    given: dict[str, Any] = {
        "link": Link.LIVE,
        "complete": True,
        "cursor": 10 * len(ordered),
        "supervisor": SupervisorView(4711, "/home/me/project/.quarterdeck", "0.1", "sqlite", 8),
        "tasks": MappingProxyType({each.id: each for each in ordered}),
        "runs": MappingProxyType({run.id: run for run in runs}),
        "workers": MappingProxyType({worker.id: worker for worker in workers}),
    }
    return Fleet(**(given | fields))


_KINDS: Sequence[tuple[str, dict[str, Any]]] = (
    # of every twenty tasks
    [("succeeded", {})] * 9
    + [("queued", {})] * 4
    + [("queued", {"reason": "retry", "failures": 1, "run_at": NOW + 30_000})]
    + [("running", {"doing": "working"})]
    + [("running", {"doing": "idle"})]
    + [("running", {"asks": "Overwrite the changes in main.py?"})]
    + [("failed", {"reason": "exit", "exit_code": 2, "detail": "exit code 2", "failures": 1})]
    + [("cancelled", {"reason": "user"})]
    + [("skipped", {"reason": "need"})]
)
_WORK = ("login", "search", "billing", "export", "sessions", "schema", "docs", "lint", "release", "cache")


def large(count: int, *, per_run: int = 25) -> Fleet:
    """A fleet as one would have it: plans of `per_run` tasks with lanes, needs and every state, some single tasks."""
    made: list[TaskView] = []
    for number in range(count):
        at, run = number % per_run, number // per_run
        state, more = _KINDS[(number * 7 + run) % len(_KINDS)]
        name = f"{_WORK[number % len(_WORK)]}-{at:02}"
        fields: dict[str, Any] = {
            "id": f"01hq{number:022}",
            "run": "" if run % 10 == 9 else f"01hr{run:022}",
            "lane": ("", "server", "web")[at % 3],
            "agent": ("dev", "dev", "review", "shell")[number % 4],
            "prompt": f"Make {name} work as described in issue {number}, and add a test for it.",
            "needs": (made[-1].id,) if at % 5 and made else (),
            "state": state,
            "created_at": NOW - (count - number) * 1000,
        }
        made.append(task(name, **(fields | more)))
    runs = [
        RunView(run, f"plan-{index:03}", f"plans/{index:03}.yaml", created_at=NOW - index * 60_000)
        for index, run in enumerate(dict.fromkeys(each.run for each in made))
        if run
    ]
    return fleet(*made, runs=runs)


@dataclass
class FakeGateway:
    """A `Gateway`. `calls` lists (verb, arguments..). An answer is set with `answers["cancel"] = value`, or a function
    of the arguments; an exception there is raised. What has no answer gets a harmless one; `hold` makes calls wait."""

    answers: dict[str, Any] = field(default_factory=dict)
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    hold: asyncio.Event | None = None
    recordings: dict[str, bytes] = field(default_factory=dict)
    said: dict[str, bytes] = field(default_factory=dict)  # session -> lines of its transcript
    logs: defaultdict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))  # run -> events

    def made(self, verb: str) -> list[tuple[Any, ...]]:
        """The arguments of each call of `verb`."""
        return [call[1:] for call in self.calls if call[0] == verb]

    async def _answer(self, verb: str, default: Callable[[], Any], *arguments: Any) -> Any:
        self.calls.append((verb, *arguments))
        if self.hold is not None:
            await self.hold.wait()
        await asyncio.sleep(0)  # as a real one, it never answers at once
        answer = self.answers.get(verb, default)
        if callable(answer) and not isinstance(answer, type):
            answer = answer(*arguments) if verb in self.answers else answer()
        if isinstance(answer, BaseException) or (isinstance(answer, type) and issubclass(answer, BaseException)):
            raise answer
        return answer

    async def submit(self, body: Any) -> Any:
        name = body.get("name") or "new"
        return await self._answer("submit", lambda: {"task": task_json(task(name)), "created": True}, body)

    async def plan(self, text: str, *, source: str = "", cwd: str = "", dry_run: bool = False) -> Any:
        run: dict[str, Any] = {"id": "run-1", "name": "run", "key": "", "source": source, "state": "running"}
        run |= {"counts": {}, "created_at": NOW, "ended_at": None}
        answer: dict[str, Any] = {"run": None if dry_run else run, "tasks": [], "created": not dry_run}
        return await self._answer("plan", lambda: answer, text, source, cwd, dry_run)

    async def task(self, task: str) -> Any:
        return await self._answer("task", lambda: _missing(task), task)

    async def explain(self, task: str) -> Any:
        answer = {"task": task, "state": "queued", "code": "slots", "summary": "all slots are taken"}
        answer |= {"facts": ["8 of 8 slots run"], "hint": ""}  # type: ignore[dict-item]
        return await self._answer("explain", lambda: answer, task)

    async def cancel(self, task: str) -> Any:
        return await self._answer("cancel", lambda: _json(task, state="cancelled"), task)

    async def retry(self, task: str) -> Any:
        return await self._answer("retry", lambda: _json(task, state="queued"), task)

    async def send(self, task: str, data: str | bytes) -> Any:
        return await self._answer("send", lambda: {"result": "delivered", "reason": ""}, task, data)

    async def answer(self, task: str, question: str, decision: str, text: str, hash: str) -> Any:
        given = (task, question, decision, text, hash)
        return await self._answer("answer", lambda: {"result": "delivered", "reason": ""}, *given)

    async def agents(self) -> Any:
        return await self._answer("agents", lambda: [agent_json("dev"), agent_json("shell", provider="shell")])

    async def events(self, run: str, after: int = 0) -> Any:
        later = [event for event in self.logs[run] if event["cursor"] > after]
        return await self._answer("events", lambda: later, run, after)

    async def attach(self, session: str, *, control: bool) -> Any:
        answer = {"session": session, "address": "", "ticket": "", "cols": 120, "rows": 40, "protocol": 1}
        return await self._answer("attach", lambda: answer, session, control)

    async def recording(self, session: str, offset: int, limit: int) -> Sequence[tuple[int, int, bytes]]:
        data = self.recordings.get(session, b"")[offset : offset + limit]
        answer: Any = await self._answer(
            "recording", lambda: [(offset, 0, data)] if data else [], session, offset, limit
        )
        return list(answer)

    async def recording_end(self, session: str) -> tuple[int, int]:
        answer: Any = await self._answer("recording_end", lambda: (0, len(self.recordings.get(session, b""))), session)
        return (answer[0], answer[1])

    async def transcript_end(self, session: str) -> int | None:
        said: Any = await self._answer(
            "transcript_end", lambda: len(self.said[session]) if session in self.said else None, session
        )
        return None if said is None else int(said)

    async def transcript(self, session: str, offset: int, limit: int) -> bytes:
        answer: Any = await self._answer("transcript", lambda: self.said[session][offset:], session, offset, limit)
        return bytes(answer)

    async def follow_transcript(self, session: str, offset: int) -> AsyncGenerator[bytes, None]:
        yield self.said[session][offset:]
        await asyncio.Event().wait()

    def close(self) -> None:
        self.calls.append(("close",))


def _missing(task: str) -> NotFound:
    return NotFound(f"no task {task}")


def _json(name: str, **fields: Any) -> dict[str, Any]:
    return task_json(task(name, **fields))


def task_json(view: TaskView) -> dict[str, Any]:
    """As the supervisor would tell it."""
    asked = view.waiting
    return {
        "id": view.id,
        "run": view.run,
        "name": view.name,
        "seq": view.seq,
        "agent": view.agent,
        "provider": view.provider,
        "mode": view.mode,
        "state": view.state,
        "reason": view.reason,
        "detail": view.detail,
        "cause": view.cause,
        "activity": view.activity.word,
        "activity_source": view.activity.source,
        "activity_rule": view.activity.rule,
        "activity_since": view.activity.since or None,
        "waiting": {"id": asked.id, "kind": asked.kind, "text": asked.text, "hash": asked.hash} if asked else None,
        "attempt": view.attempt,
        "failures": view.failures,
        "faults": view.faults,
        "retries": view.retries,
        "lane": view.lane,
        "needs": list(view.needs),
        "touches": list(view.touches),
        "priority": view.priority,
        "rule": "",
        "type": "",
        "trigger": "",
        "prompt": view.prompt,
        "command": view.command.split(),
        "url": "",
        "cwd": "/project",
        "key": "",
        "timeout_ms": None,
        "idle_timeout_ms": None,
        "on_failure": "skip",
        "worker": view.worker,
        "assigned": "",
        "assigned_why": "",
        "session": view.session,
        "cancel": view.cancel,
        "exit_code": view.exit_code,
        "signal": view.signal,
        "output": None,
        "cost_usd": view.cost_usd,
        "cost_source": view.cost_source,
        "tokens_in": view.tokens_in,
        "tokens_out": view.tokens_out,
        "run_at": view.run_at,
        "created_at": view.created_at,
        "started_at": view.started_at,
        "ended_at": view.ended_at,
    }


def agent_json(name: str, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": name,
        "provider": "scripted",
        "roles": [],
        "slots": None,
        "mode": None,
        "model": "",
        "identity": "",
        "env": [],
        "timeout_ms": None,
        "idle_timeout_ms": None,
        "retries": 0,
        "path": f"/usr/bin/{name}",
        "version": "1.0",
        "problem": "",
        "account": "scripted",
        "held": "",
    }
    return made | fields


def event_json(cursor: int, kind: str, task: str = "", **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"cursor": cursor, "at": NOW, "kind": kind, "run": "", "task": task, "attempt": 0}
    return made | {"worker": "", "data": {}} | fields


# what the log does not tell: measured while it runs, or a text of the row alone
_UNTOLD = {"provider", "mode", "prompt", "command", "touches", "priority", "retries", "seq", "cost_usd", "cost_source"}
_UNTOLD |= {"tokens_in", "tokens_out", "cursor"}


def told(view: TaskView) -> dict[str, Any]:
    """What the log can tell of a task."""
    fields = {name: getattr(view, name) for name in TaskView.__slots__ if name not in _UNTOLD | {"activity"}}
    asked = fields["waiting"]
    fields["waiting"] = asked and (asked.id, asked.text, asked.hash)
    return fields

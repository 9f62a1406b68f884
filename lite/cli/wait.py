"""`wait`, and the waiting of `run --wait` and `submit --wait`: a line per ended task, the exit code of the worst."""

from __future__ import annotations

import sys
import time

from lite.cli.commands import Command
from lite.cli.endings import NEEDS_INPUT, TIMED_OUT, exit_code, worst
from lite.cli.quantities import duration_ms
from lite.cli.style import badge, colour_of, paint
from lite.terminal.sanitize import safe
from providers.durations import span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from lite.api.client import Client
    from lite.api.messages import EventJson, TaskJson
    from lite.cli.context import Context

_ENDS = {f"task.{state}": state for state in ("succeeded", "failed", "cancelled", "skipped")}


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("ids", nargs="+", metavar="ID", help="task id, unique prefix or run/name")
    parser.add_argument("--timeout", metavar="60s", help="give up after this long (exit 8)")
    parser.add_argument("--no-input", action="store_true", help="give up when a task waits for a person (exit 7)")


def _wait(context: Context, arguments: Namespace) -> int:
    seconds = None if arguments.timeout is None else duration_ms(arguments.timeout, "--timeout") / 1000
    return wait_for(context, context.client(), arguments.ids, seconds=seconds, no_input=arguments.no_input)


def wait_for(
    context: Context,
    client: Client,
    refs: Sequence[str],
    *,
    run: str = "",
    seconds: float | None = None,
    no_input: bool = False,
    single: bool = False,
) -> int:
    """Wait until all of `refs` (with `run`: all tasks of that run) have ended; the exit code of the worst.
    `single`: JSON is one object."""
    waiter = _Waiter(context, client, refs, run, no_input)
    try:
        waiter.follow(None if seconds is None else time.monotonic() + seconds)
    except KeyboardInterrupt:
        context.note(f"no longer waiting; {len(waiter.pending)} task(s) go on")
        raise
    tasks = waiter.fetch()
    if context.json:
        context.emit(tasks[0] if single else tasks)
    codes = []
    for task in tasks:
        if task["id"] not in waiter.pending:
            codes.append(exit_code(task))
        elif no_input and task["waiting"]:
            codes.append(NEEDS_INPUT)
        elif not waiter.gave_up_for_input:
            codes.append(TIMED_OUT)
    if waiter.pending:
        why = "a task needs input" if waiter.gave_up_for_input else "timed out"
        context.note(f"{why}; {len(waiter.pending)} of {len(tasks)} task(s) not ended")
    return worst(codes)


class _Waiter:
    """Follows the event log; asks for whole tasks only at the beginning and at the end."""

    def __init__(self, context: Context, client: Client, refs: Sequence[str], run: str, no_input: bool) -> None:
        self._context = context
        self._client = client
        self._run = run
        self._no_input = no_input
        self._cursor = client.status()["cursor"]  # before the tasks: what happens in between is seen twice, not missed
        found = client.tasks(run=run) if run else [client.task(ref) for ref in refs]
        self._tasks = {task["id"]: task for task in found}
        self._began = {task["id"]: task["started_at"] for task in found}
        self.pending = {task["id"] for task in found if task["ended_at"] is None}
        self.gave_up_for_input = no_input and any(task["waiting"] for task in found if task["id"] in self.pending)
        for task in found:
            if task["id"] not in self.pending:
                self._ended(task, task["state"], task["reason"], task["detail"], task["ended_at"])

    def follow(self, deadline: float | None) -> None:
        if not self.pending or self.gave_up_for_input:
            return
        runs = {task["run"] for task in self._tasks.values()}
        run = runs.pop() if len(runs) == 1 else ""
        only = next(iter(self._tasks)) if len(self._tasks) == 1 else ""
        for event in self._client.events(self._cursor, True, "" if only else run, only, deadline=deadline):
            if event["task"] in self._tasks:
                self._see(event)
                if not self.pending or self.gave_up_for_input:
                    return

    def fetch(self) -> list[TaskJson]:
        """The tasks as they are now, in the order asked."""
        if self._run:
            return self._client.tasks(run=self._run)
        return [self._client.task(task) for task in self._tasks]

    def _see(self, event: EventJson) -> None:
        task = self._tasks[event["task"]]
        kind, data = event["kind"], event["data"]
        state = _ENDS.get(kind)
        if state is not None:
            if task["id"] in self.pending:
                self.pending.discard(task["id"])
                self._ended(task, state, str(data.get("reason") or ""), str(data.get("detail") or ""), event["at"])
        elif kind == "task.reopened":
            self.pending.add(task["id"])
        elif kind == "task.started":
            self._began[task["id"]] = event["at"]
            self._progress(task, "running", "started")
        elif kind == "task.retrying":
            self._progress(task, "queued", f"will be tried again: {data.get('reason') or 'failed'}")
        elif kind == "session.waiting":
            self._progress(task, "waiting", f"needs input: {data.get('text') or ''} (qd attach {task['id']})")
            self.gave_up_for_input = self._no_input

    def _ended(self, task: TaskJson, state: str, reason: str, detail: str, at: int | None) -> None:
        if self._context.json:
            return
        began = self._began.get(task["id"])
        took = span(at - began) if began and at and state != "skipped" else ""
        why = "" if state == "succeeded" else f"{reason}: {detail}" if reason and detail else reason or detail
        mark = badge(state)
        shown = paint(mark, colour_of(state)) if self._context.colour and colour_of(state) else mark
        text = "  ".join(safe(part) for part in (task["name"], task["id"], took, why) if part)
        print(f"{shown}{' ' * (13 - len(mark))}  {text}", flush=True)

    def _progress(self, task: TaskJson, state: str, text: str) -> None:
        print(f"{badge(state)}  {safe(task['name'])}  {safe(text)}", file=sys.stderr, flush=True)


COMMANDS = {
    "wait": Command(
        _options,
        _wait,
        """
qd wait 01jd8 01jd9             until both have ended; exits as the worse of them did
qd wait --timeout 60s 01jd8     exit 8 when it takes longer
qd wait --no-input add-login/ui exit 7 as soon as it asks something""",
    )
}

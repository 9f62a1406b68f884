"""`ls` and `runs`."""

from __future__ import annotations

import time

from lite.cli.commands import Command
from lite.cli.style import badge, colour_of
from lite.cli.tables import Cell
from lite.errors import UsageError
from providers.durations import span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Mapping, Sequence

    from lite.api.client import Client
    from lite.api.messages import TaskJson
    from lite.cli.context import Context

DEFAULT_LIMIT = 50
STATES = ("queued", "running", "succeeded", "failed", "cancelled", "skipped")
_SHORTEST_ID = 8
_RUNS_ASKED = 200


def _ls_options(parser: ArgumentParser) -> None:
    parser.add_argument("--run", metavar="RUN", help="only the tasks of this run")
    parser.add_argument(
        "--state", metavar="S", action="append", default=[], choices=STATES, help="only in this state (repeatable)"
    )
    parser.add_argument("--agent", metavar="A", help="only of this agent")
    parser.add_argument(
        "--dead", action="store_true", help="only those given up because the infrastructure kept failing"
    )
    number = parser.add_mutually_exclusive_group()
    number.add_argument("-n", "--limit", metavar="N", type=int, default=DEFAULT_LIMIT, help="the newest N (default 50)")
    number.add_argument("--all", action="store_true", help="all of them")


def _ls(context: Context, arguments: Namespace) -> int:
    if arguments.limit < 1:
        raise UsageError("must be at least 1", place="-n")
    client = context.client()
    tasks = client.tasks(
        run=arguments.run,
        state=arguments.state,
        agent=arguments.agent or "",
        dead=arguments.dead,
        limit=None if arguments.all else arguments.limit,
        newest=not arguments.all,
    )
    return list_tasks(context, client, tasks)


def list_tasks(context: Context, client: Client, tasks: Sequence[TaskJson], *, empty: str = "no tasks") -> int:
    if context.json:
        context.emit(tasks)
    elif not tasks:
        context.note(empty)
    else:
        now = time.time() * 1000
        short = short_ids([str(task["id"]) for task in tasks])
        head = ["ID", "NAME", "STATE", "WHY", "AGENT", "LANE", "ATT", "TIME", "WORKER"]
        runs = _run_names(client, tasks)
        listed = Listed(tasks)
        rows = [_row(task, short[task["id"]], runs, listed, now) for task in tasks]
        context.table(head, rows, spare=("WORKER", "ATT", "LANE", "AGENT", "TIME"), whole=1)
    return 0


def _run_names(client: Client, tasks: Sequence[TaskJson]) -> dict[str, str]:
    """run id -> its name, for the runs of `tasks`."""
    wanted = {task["run"] for task in tasks if task["run"]}
    if not wanted:
        return {}
    if len(wanted) == 1:
        run = client.run(wanted.pop())
        return {run["id"]: run["name"]}
    return {run["id"]: run["name"] for run in client.runs(limit=_RUNS_ASKED, newest=True)}


def _row(task: TaskJson, short: str, runs: Mapping[str, str], listed: Listed, now: float) -> list[Cell | str]:
    state = task["state"]
    waiting = state == "running" and task["activity"] == "waiting"
    run = runs.get(task["run"], "…") if task["run"] else ""
    return [
        short,
        f"{run}/{task['name']}" if run else task["name"],
        Cell(badge(state), "yellow" if waiting else colour_of(state)),
        Cell(why(task, listed), "yellow" if waiting else ""),
        task["agent"] or "-",
        task["lane"],
        str(task["attempt"] or ""),
        span(elapsed(task, now)),
        task["worker"],
    ]


class Listed:
    """The tasks shown together, to tell what one of them waits for."""

    def __init__(self, tasks: Sequence[TaskJson]) -> None:
        self.by_id = {task["id"]: task for task in tasks}
        self._heads: dict[tuple[str, str], TaskJson] = {}  # run and lane -> its first unfinished task
        for task in sorted(tasks, key=lambda one: one["seq"]):
            if task["lane"] and _open(task):
                self._heads.setdefault((task["run"], task["lane"]), task)

    def held(self, task: TaskJson) -> str:
        """What holds a queued task: its open needs, or the one before it in its lane; "" when nothing is listed."""
        needs = [self.by_id[need]["name"] for need in task["needs"] if need in self.by_id and _open(self.by_id[need])]
        if needs:
            return f"needs {', '.join(needs)}"
        head = self._heads.get((task["run"], task["lane"]))
        return f"behind {head['name']}" if head is not None and head["seq"] < task["seq"] else ""


def _open(task: TaskJson) -> bool:
    return task["state"] in ("queued", "running")


def why(task: TaskJson, listed: Listed) -> str:
    """The reason of a task that stands or has ended badly, the activity of one that runs, as far as it can be told from
    the tasks `listed` with it; `qd explain` knows the rest."""
    if task["state"] == "running":
        waiting = task["waiting"]
        known = "" if task["activity"] == "unknown" else task["activity"]
        text = "being cancelled" if task["cancel"] else known
        return f"{text}: {waiting['text']}" if waiting and waiting["text"] else text
    reason, detail = task["reason"], task["detail"]
    if task["state"] == "succeeded":
        return ""
    cause = listed.by_id.get(task["cause"])
    if cause is not None:
        return f"{reason}: {cause['name']} {cause['state']}"
    if task["state"] == "queued" and (held := listed.held(task)):
        return f"{reason}; {held}" if reason else held
    return f"{reason}: {detail}" if reason and detail else reason or detail


def elapsed(task: TaskJson, now: float) -> float:
    """ms: of an ended task how long its last attempt took, of a running one since its start, else since submission."""
    if task["ended_at"] is not None:
        return float(task["ended_at"] - (task["started_at"] or task["ended_at"]))
    return float(
        now - (task["started_at"] if task["state"] == "running" and task["started_at"] else task["created_at"])
    )


def short_ids(ids: Sequence[str]) -> dict[str, str]:
    """id -> its shortest prefix that is unique among `ids`."""
    ordered = sorted(set(ids))
    short = {}
    for at, each in enumerate(ordered):
        neighbours = ordered[max(0, at - 1) : at] + ordered[at + 1 : at + 2]
        need = max([_common(each, other) + 1 for other in neighbours], default=0)
        short[each] = each[: max(need, _SHORTEST_ID)]
    return short


def _common(one: str, other: str) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _runs_options(parser: ArgumentParser) -> None:
    parser.add_argument("-n", "--limit", metavar="N", type=int, default=DEFAULT_LIMIT, help="the newest N (default 50)")


def _runs(context: Context, arguments: Namespace) -> int:
    if arguments.limit < 1:
        raise UsageError("must be at least 1", place="-n")
    runs = context.client().runs(limit=arguments.limit, newest=True)
    if context.json:
        context.emit(runs)
    elif not runs:
        context.note("no runs yet: qd run PLAN.yaml")
    else:
        now = time.time() * 1000
        short = short_ids([str(run["id"]) for run in runs])
        rows: list[list[Cell | str]] = [
            [
                short[run["id"]],
                str(run["name"]),
                Cell(badge(run["state"]), colour_of(run["state"])),
                " ".join(f"{count} {state}" for state, count in run["counts"].items() if count),
                span((run["ended_at"] or now) - run["created_at"]),
            ]
            for run in runs
        ]
        context.table(["ID", "NAME", "STATE", "TASKS", "TIME"], rows)
    return 0


COMMANDS = {
    "ls": Command(
        _ls_options,
        _ls,
        """
qd ls                                 the newest 50
qd ls --run add-login --state failed  what went wrong in a run
qd ls --dead                          given up: the infrastructure failed too often
qd ls --all --json                    everything, for a script""",
    ),
    "runs": Command(_runs_options, _runs, "qd runs -n 5    the five newest"),
}

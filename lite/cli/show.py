"""`show` and `explain`."""

from __future__ import annotations

import shlex
import time

from lite.cli.commands import Command
from lite.cli.fleet import elapsed
from lite.cli.style import badge, colour_of, paint
from lite.terminal.sanitize import safe, safe_text
from providers.durations import span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from lite.api.messages import TaskJson
    from lite.cli.context import Context

_OUTPUT_LINES = 20
_PROMPT_LINES = 8


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="task id, unique prefix or run/name")


def _show(context: Context, arguments: Namespace) -> int:
    client = context.client()
    task = client.task(arguments.id)
    explanation = client.explain(task["id"])
    if context.json:
        context.emit({**task, "explanation": explanation})
        return 0
    state = badge(task["state"])
    shown = paint(state, colour_of(task["state"])) if context.colour and colour_of(task["state"]) else safe(state)
    print(f"{safe(task['name'])}  {shown}")
    for label, value in _fields(task, explanation["summary"]):
        if value:
            print(f"  {label:10}  {safe(value)}")
    _block("prompt", task["prompt"], _PROMPT_LINES)
    _block("output", task["output"] or "", _OUTPUT_LINES)
    return 0


def _fields(task: TaskJson, summary: str) -> list[tuple[str, str]]:
    now = time.time() * 1000
    agent = f"{task['agent'] or '-'} ({task['provider']}, {task['mode']})"
    activity = task["activity"]
    if activity and activity != "stopped":
        activity += f" (says {task['activity_source']}: {task['activity_rule']})"
    waiting = task["waiting"]
    return [
        ("why", summary),
        ("id", task["id"]),
        ("run", task["run"]),
        ("agent", agent),
        ("routed by", task["rule"]),
        ("activity", activity),
        ("asks", waiting["text"] if waiting else ""),
        ("command", shlex.join(task["command"])),
        ("url", task["url"]),
        ("cwd", task["cwd"]),
        ("needs", ", ".join(task["needs"])),
        ("lane", task["lane"]),
        ("touches", ", ".join(task["touches"])),
        ("attempt", _attempts(task)),
        ("worker", task["worker"]),
        ("submitted", _at(task["created_at"], now)),
        ("started", _at(task["started_at"], now)),
        ("ended", _at(task["ended_at"], now)),
        ("took", span(elapsed(task, now)) if task["started_at"] else ""),
        ("exit", _exit(task)),
        ("detail", task["detail"]),
        ("usage", _usage(task)),
    ]


def _attempts(task: TaskJson) -> str:
    if not task["attempt"]:
        return ""
    text = f"{task['attempt']}"
    if task["failures"] or task["retries"]:
        text += f", {task['failures']} failure(s) of its own, {task['retries']} retries allowed"
    return text + (f", {task['faults']} fault(s) of the infrastructure" if task["faults"] else "")


def _exit(task: TaskJson) -> str:
    if task["signal"]:
        return f"killed by signal {task['signal']}"
    return "" if task["exit_code"] is None else str(task["exit_code"])


def _usage(task: TaskJson) -> str:
    parts = []
    if task["tokens_in"] is not None:
        parts.append(f"{task['tokens_in']} tokens in")
    if task["tokens_out"] is not None:
        parts.append(f"{task['tokens_out']} out")
    if task["cost_usd"] is not None:
        parts.append(f"{task['cost_usd']:.4f} USD")
    return f"{', '.join(parts)} ({task['cost_source']})" if parts else ""


def _at(ms: int | None, now: float) -> str:
    if ms is None:
        return ""
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(ms / 1000))} ({span(now - ms)} ago)"


def _block(label: str, text: str, most: int) -> None:
    if not text.strip():
        return
    lines = safe_text(text.rstrip("\n")).split("\n")
    print(f"  {label}")
    for line in lines[:most]:
        print(f"    {line}")
    if len(lines) > most:
        print(f"    … {len(lines) - most} more line(s); --json has it all")


def _explain(context: Context, arguments: Namespace) -> int:
    explanation = context.client().explain(arguments.id)
    if context.json:
        context.emit(explanation)
        return 0
    print(safe(explanation["summary"]))
    for fact in explanation["facts"]:
        print(f"  {safe(fact)}")
    if explanation["hint"]:
        print(f"  {safe(explanation['hint'])}")
    return 0


COMMANDS = {
    "show": Command(
        _options, _show, "qd show 01jd8           by a unique prefix of its id\nqd show add-login/ui    by run and name"
    ),
    "explain": Command(_options, _explain, "qd explain 01jd8    why it does not run, or why it ended as it did"),
}

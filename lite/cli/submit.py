"""`submit`: one task from options, a prompt or a command."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from lite.cli.commands import Command
from lite.cli.quantities import duration_ms
from lite.cli.watching import WATCH, somebody_is_there
from lite.errors import InvalidTask, NotSupported, UsageError
from lite.terminal.sanitize import safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from lite.api.messages import SubmitBody
    from lite.cli.context import Context

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def _options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("prompt", nargs="*", metavar="PROMPT", help='what to do; "-" reads stdin. Or: -- COMMAND ARG..')
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--agent", metavar="A", help="this agent")
    target.add_argument("--type", metavar="T", help="the agent with this role")
    target.add_argument("--trigger", metavar="T", help="the agent whose trigger pattern matches")
    add("--name", metavar="NAME", help="a short name: a-z 0-9 . _ -")
    add("--lane", metavar="L", help="tasks of one lane run one after the other")
    add("--needs", metavar="ID", action="append", default=[], help="start after this task has succeeded (repeatable)")
    add("--touches", metavar="GLOB", action="append", default=[], help="never beside a task of overlapping paths")
    add("--key", metavar="K", help="idempotency: the same key gives the same task")
    add("--mode", choices=("interactive", "headless"), help="on the program's own screen, or structured output")
    add("--timeout", metavar="30m", help="longest time of one attempt")
    add("--idle-timeout", metavar="5m", help="longest time without output")
    add("--retries", metavar="N", type=int, help="attempts after a failure of its own")
    add("--priority", metavar="N", type=int, default=0, help="-100..100, higher first")
    add("--delay", metavar="10s", help="not before this long from now")
    add("--env", metavar="K=V", action="append", default=[], help="a variable for the program (repeatable)")
    add("--secret", metavar="K=S", action="append", default=[], help="variable K gets the configured secret S")
    add("--cwd", metavar="DIR", help="where it runs (default: here)")
    add("--on-failure", choices=("skip", "fail", "continue"), help="what becomes of tasks that need it")
    add("--wait", action="store_true", help="wait for its end; the exit code tells it")
    add("--watch", action="store_true", help=WATCH)
    add("--worktree", action="store_true", help="not supported yet")
    add("--budget", metavar="USD", help="not supported yet")


def _submit(context: Context, arguments: Namespace) -> int:
    for name in ("worktree", "budget"):
        if getattr(arguments, name):
            raise NotSupported("is not supported yet", place=f"--{name}")
    order = _order(arguments)
    client = context.client_starting()
    answer = client.submit(order)
    task = answer["task"]
    if not arguments.wait:
        if context.json:
            context.emit({**task, "created": answer["created"]})
        else:
            print(safe(task["id"]))
        return 0
    from lite.cli.wait import wait_for

    context.note(f"submitted {task['name']} ({task['id']})")
    return wait_for(context, client, [task["id"]], single=True)


def _order(arguments: Namespace) -> SubmitBody:
    """The order as JSON; only what was said is in it."""
    order: dict[str, Any] = {"needs": arguments.needs, "touches": arguments.touches, "env": _pairs(arguments.env)}
    order["secrets"] = _pairs(arguments.secret, "--secret")
    for name in ("agent", "type", "trigger", "name", "lane", "key", "mode", "retries", "priority", "on_failure"):
        order[name] = getattr(arguments, name)
    for name in ("timeout", "idle_timeout", "delay"):
        text = getattr(arguments, name)
        if text is not None:
            order[f"{name}_ms"] = duration_ms(text, f"--{name.replace('_', '-')}")
    order["cwd"] = _directory(arguments.cwd)
    order["watched"] = arguments.watch or somebody_is_there() or None
    order |= _work(arguments)
    return {name: value for name, value in order.items() if value not in (None, [], {})}  # type: ignore[return-value]


def _work(arguments: Namespace) -> dict[str, Any]:
    words, command = arguments.prompt, arguments.argv
    if command is not None:
        if words:
            raise UsageError("give a prompt or a command after --, not both")
        if not command or not command[0]:
            raise UsageError("no command after --")
        return {"command": command}
    text = sys.stdin.buffer.read().decode("utf-8", "replace") if words == ["-"] else " ".join(words)
    if not text.strip():
        raise InvalidTask(
            "a prompt is required", hint="qd submit 'what to do', or qd submit -- COMMAND", place="prompt"
        )
    return {"prompt": text}


def _directory(given: str | None) -> str:
    path = os.path.abspath(Path(given or ".").expanduser())  # noqa: PTH100 - resolve() would follow links
    if given and not Path(path).is_dir():
        raise UsageError(f"no such directory: {given}", place="--cwd")
    return path


def _pairs(pairs: list[str], option: str = "--env") -> dict[str, str]:
    env = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not _VARIABLE.match(name):
            raise UsageError(f"not NAME=VALUE: {pair!r}", place=option)
        env[name] = value
    return env


COMMANDS = {
    "submit": Command(
        _options,
        _submit,
        """
qd submit --agent dev 'add a login form'     a prompt for an agent
qd submit --wait --timeout 10m -- make test  a command in a terminal of its own; exits as the task did
qd submit --needs 01jd8 --lane web -- ./deploy staging
git diff | qd submit --type review -         the prompt from stdin""",
    )
}

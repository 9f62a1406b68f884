"""`cancel` and `retry`."""

from __future__ import annotations

from lite.cli.commands import Command
from lite.errors import QuarterdeckError, UsageError
from lite.terminal.sanitize import safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable
    from typing import Any

    from lite.cli.context import Context


def _cancel_options(parser: ArgumentParser) -> None:
    parser.add_argument("ids", nargs="*", metavar="ID", help="task id, unique prefix or run/name")
    parser.add_argument("--run", metavar="RUN", help="all tasks of this run that have not ended")


def _cancel(context: Context, arguments: Namespace) -> int:
    if bool(arguments.ids) == bool(arguments.run):
        raise UsageError("name tasks, or a run with --run")
    client = context.client()
    refs = list(arguments.ids)
    if arguments.run:
        tasks = client.tasks(run=client.run(arguments.run)["id"], state=["queued", "running"])
        # last first: what needs another task goes before it, so that nothing starts in between
        refs = [task["id"] for task in reversed(tasks)]
    return _each(context, refs, client.cancel)


def _retry_options(parser: ArgumentParser) -> None:
    parser.add_argument("ids", nargs="+", metavar="ID", help="a task that failed, was cancelled or was skipped")


def _retry(context: Context, arguments: Namespace) -> int:
    return _each(context, arguments.ids, context.client().retry)


def _each(context: Context, refs: list[str], verb: Callable[[str], Any]) -> int:
    """Do `verb` to each; all are tried, the first error decides the exit code."""
    done: list[Any] = []
    failed: QuarterdeckError | None = None
    for ref in refs:
        try:
            task = verb(ref)
        except QuarterdeckError as error:
            if len(refs) == 1:
                raise
            failed = failed or error
            context.note(f"{ref}: {error}")
            continue
        done.append(task)
        if not context.json:
            asked = task["state"] == "running"
            print(f"{safe(task['id'])}  {safe(task['name'])}  {'is being cancelled' if asked else safe(task['state'])}")
    if context.json:
        context.emit(done)
    return failed.exit_code if failed else 0


COMMANDS = {
    "cancel": Command(
        _cancel_options,
        _cancel,
        """
qd cancel 01jd8           the task whose id begins so
qd cancel add-login/ui    by run and name
qd cancel --run add-login everything of a run""",
    ),
    "retry": Command(
        _retry_options,
        _retry,
        """
qd retry 01jd8            once more, as a new attempt of the same task
qd retry add-login/api    what was skipped because of it runs again too""",
    ),
}

"""`waiting`, `approve`, `deny` and `answer`."""

from __future__ import annotations

from lite.cli.commands import Command
from lite.cli.tables import Cell
from lite.errors import SessionRefused
from lite.terminal.sanitize import safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from lite.api.messages import TaskJson, WaitingJson
    from lite.cli.context import Context


def _asking(tasks: Sequence[TaskJson]) -> list[tuple[TaskJson, WaitingJson]]:
    return [(task, task["waiting"]) for task in tasks if task["waiting"] is not None]


def _waiting(context: Context, arguments: Namespace) -> int:
    found = _asking(context.client().tasks(state=["running"]))
    if context.json:
        context.emit([{"task": task["id"], "name": task["name"], **asked} for task, asked in found])
    elif not found:
        context.note("nothing waits for a person")
    else:
        rows: list[list[Cell | str]] = [
            [_short(asked["id"]), task["name"], Cell(asked["kind"], "yellow"), ", ".join(asked["verbs"]), asked["text"]]
            for task, asked in found
        ]
        context.table(["ID", "TASK", "KIND", "CAN", "ASKS"], rows, spare=("KIND", "TASK"), whole=1)
    return 0


def _short(ident: str) -> str:
    return ident.rpartition("-")[2]


def _id_option(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="of the question, as qd waiting lists it (not of the task)")


def _deny_options(parser: ArgumentParser) -> None:
    _id_option(parser)
    parser.add_argument("--reason", metavar="TEXT", default="", help="what the agent is told")


def _answer_options(parser: ArgumentParser) -> None:
    _id_option(parser)
    parser.add_argument("text", metavar="TEXT", help="the answer")


def _give(context: Context, ident: str, decision: str, text: str) -> int:
    """The id stands for one text of one question; it is never taken for another, and no task's id is taken for it."""
    client = context.client()
    found = [one for one in _asking(client.tasks(state=["running"])) if ident in (one[1]["id"], _short(one[1]["id"]))]
    if len(found) != 1:
        said = "is asked" if not found else f"is one of {len(found)}"
        message = f"no question {ident!r} {said} (any more)" if not found else f"{ident!r} {said} questions"
        raise SessionRefused(message, hint="qd waiting lists them", place=ident)
    task, asked = found[0]
    answer = client.answer(task["id"], asked["id"], decision, text, asked["hash"])
    if context.json:
        context.emit(answer)
    if answer["result"] == "refused":
        if not context.json:
            raise SessionRefused(answer["reason"] or "refused", place=ident)
        return 1
    if not context.json:
        print(safe(answer["result"]))
        if answer["reason"]:
            context.note(answer["reason"])
    return 0


def _approve(context: Context, arguments: Namespace) -> int:
    return _give(context, arguments.id, "allow", "")


def _deny(context: Context, arguments: Namespace) -> int:
    return _give(context, arguments.id, "deny", arguments.reason)


def _answer(context: Context, arguments: Namespace) -> int:
    return _give(context, arguments.id, "answer", arguments.text)


def _none(parser: ArgumentParser) -> None:
    """No options of its own."""


COMMANDS = {
    "waiting": Command(
        _none, _waiting, "qd waiting           every question of every session, and what can be said to it"
    ),
    "approve": Command(
        _id_option, _approve, "qd approve 3fa9c1d2    it may; refused when it asks something else by now"
    ),
    "deny": Command(
        _deny_options,
        _deny,
        """
qd deny 3fa9c1d2                              it may not
qd deny 3fa9c1d2 --reason 'use the test db'   and why""",
    ),
    "answer": Command(_answer_options, _answer, "qd answer 3fa9c1d2 'port 8080'    in words"),
}

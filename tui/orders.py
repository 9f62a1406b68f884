"""What is typed into the new-task dialog, made into a submission. No Textual."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lite.errors import InvalidTask
from providers.durations import parse_duration

if TYPE_CHECKING:
    from lite.api.messages import SubmitBody


@dataclass(frozen=True)
class Draft:
    """The fields as text, kept while the dashboard is open. `needs`: ids, prefixes or run/name, comma separated."""

    text: str = ""
    command: bool = False  # `text` is a line for sh -c, not a prompt
    agent: str = ""  # "": routed
    name: str = ""
    lane: str = ""
    needs: str = ""
    touches: str = ""
    priority: str = ""
    timeout: str = ""
    idle_timeout: str = ""
    retries: str = ""
    mode: str = ""
    cwd: str = ""


def order_of(draft: Draft) -> SubmitBody:
    """Raises `InvalidTask` whose `place` is the field."""
    text = draft.text.strip()
    if not text:
        raise InvalidTask("nothing to do yet", hint="write what is to be done", place="text")
    body: SubmitBody = {"command": text} if draft.command else {"prompt": text}
    if draft.agent and not draft.command:
        body["agent"] = draft.agent
    if draft.name.strip():
        body["name"] = draft.name.strip()
    if draft.lane.strip():
        body["lane"] = draft.lane.strip()
    if draft.needs.strip():
        body["needs"] = _list(draft.needs, "needs")
    if draft.touches.strip():
        body["touches"] = _list(draft.touches, "touches")
    if draft.priority.strip():
        body["priority"] = _number(draft.priority, "priority", -100, 100)
    if draft.retries.strip():
        body["retries"] = _number(draft.retries, "retries", 0, 100)
    if draft.timeout.strip():
        body["timeout_ms"] = _duration(draft.timeout, "timeout")
    if draft.idle_timeout.strip():
        body["idle_timeout_ms"] = _duration(draft.idle_timeout, "idle_timeout")
    if draft.mode in ("interactive", "headless"):
        body["mode"] = "interactive" if draft.mode == "interactive" else "headless"
    if draft.cwd.strip():
        body["cwd"] = draft.cwd.strip()
    return body


def problem_of(field: str, value: str) -> str:
    """What is wrong with a field while it is typed; "" when nothing is."""
    check = _CHECKS.get(field)
    if check is None or not value.strip():
        return ""
    try:
        check(value)
    except InvalidTask as error:
        return error.message
    return ""


_CHECKS: dict[str, Callable[[str], object]] = {
    "priority": lambda text: _number(text, "priority", -100, 100),
    "retries": lambda text: _number(text, "retries", 0, 100),
    "timeout": lambda text: _duration(text, "timeout"),
    "idle_timeout": lambda text: _duration(text, "idle_timeout"),
    "touches": lambda text: len(_list(text, "touches")),
    "needs": lambda text: len(_list(text, "needs")),
}


def _number(text: str, field: str, least: int, most: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        raise InvalidTask(f"must be a whole number from {least} to {most}", place=field)
    return value


def _duration(text: str, field: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise InvalidTask(str(error), place=field) from None


def _list(text: str, field: str) -> list[str]:
    """Comma separated; quotes as in a shell for what contains a comma or a blank."""
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace = ", "
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return list(lexer)
    except ValueError:
        raise InvalidTask("a quote is not closed", place=field) from None

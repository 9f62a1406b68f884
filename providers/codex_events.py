"""Reading what `codex exec --json` prints: what it says, and whether it went well.

Facts it rests on, seen with 0.169: a turn ends with `turn.completed` or `turn.failed`, and with neither when it was
interrupted (exit 1) or killed; the top-level `error` is no end, an item `error` only a warning; a command the sandbox
refuses may appear nowhere; usage is told by `turn.completed` only, and counts the whole thread: in a resumed one also
the turns of earlier attempts. What keeps it from beginning is told on stderr only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from providers.base import AgentEvent, EventKind, Failure, Source, Usage, Verdict
from providers.codex_failures import Cause, cause_in_stderr, cause_of, plain
from providers.parsing import JsonLinesParser, count_of, exit_verdict, mapping_of, text_of

_RETRY = re.compile(r"Reconnecting\.\.\. (?:(\d{1,9})/(\d{1,9}) ?|waiting for network ?)(?:\((.*)\))?\Z", re.DOTALL)
_SIGNALS = (129, 137, 143)
_OPEN = 1000  # tools at work whose beginning is remembered
_TOOLS = ("command_execution", "file_change", "mcp_tool_call", "collab_tool_call", "web_search")


class CodexParser(JsonLinesParser):
    """One attempt's output. `at`: a moment not long before its end (ms since the epoch), 0 when not known: only a
    usage limit that ends at a time of day needs it. `model`: what it was told to use; what it did use it never says.
    `resume`: the thread it was to go on with."""

    def __init__(self, at: int = 0, model: str = "", resume: str = "") -> None:
        super().__init__()
        self._resume = resume
        self._at = at
        self._model = model
        self._session = ""
        self._begun = False
        self._completed = False
        self._failure = ""  # the message of `turn.failed`
        self._error = ""  # the last top-level error
        self._retry = ""  # why a call is being repeated, until something else is said
        self._last_text = ""
        self._usage: Usage | None = None
        self._open: set[str] = set()

    def on_object(self, said: dict[str, Any], raw: bytes) -> Iterator[AgentEvent]:
        kind = text_of(said.get("type"))
        if kind != "error":
            self._retry = ""
        match kind:
            case "thread.started":
                self._session = text_of(said.get("thread_id"))
                yield AgentEvent(EventKind.INIT, "", {"session": self._session}, raw)
            case "turn.started":
                self._begun, self._completed, self._failure, self._error = True, False, "", ""
                yield AgentEvent(EventKind.UNKNOWN, "", {"type": kind}, raw)
            case "turn.completed":
                self._completed = True
                yield from self._ended(said, raw)
            case "turn.failed":
                self._begun, self._completed = True, False
                self._failure = text_of(mapping_of(said.get("error")).get("message")) or self._error or "no reason told"
                yield AgentEvent(EventKind.RESULT, plain(self._failure), {"ok": False}, raw)
            case "item.started" | "item.updated" | "item.completed":
                yield from self._item(kind.removeprefix("item."), mapping_of(said.get("item")), raw)
            case "error":
                yield self._told(text_of(said.get("message")), raw)
            case _:
                yield AgentEvent(EventKind.UNKNOWN, "", {"type": kind}, raw)

    def _ended(self, said: dict[str, Any], raw: bytes) -> Iterator[AgentEvent]:
        counts = mapping_of(said.get("usage"))
        self._usage = Usage(
            count_of(counts.get("input_tokens")),
            count_of(counts.get("output_tokens")),
            source=Source.REPORTED,
            tokens_cached=count_of(counts.get("cached_input_tokens")),
            model=self._model,
        )
        data = {"tokens_in": self._usage.tokens_in, "tokens_out": self._usage.tokens_out, "cost_usd": None}
        data["tokens_cached"] = self._usage.tokens_cached
        yield AgentEvent(EventKind.USAGE, "", data, raw)
        yield AgentEvent(EventKind.RESULT, self._last_text, {"ok": True}, raw)

    def _told(self, message: str, raw: bytes) -> AgentEvent:
        if _RETRY.match(message):
            return self.repeats(message, "", raw)
        self._error, self._retry = message, ""
        return AgentEvent(EventKind.UNKNOWN, plain(message), {"type": "error"}, raw)

    def repeats(self, message: str, why: str, raw: bytes) -> AgentEvent:
        """A call to the model is made again; `why` where it is told beside the message."""
        found = _RETRY.match(message)
        attempt, most, within = found.groups() if found else (None, None, None)
        self._retry = why or within or message
        data = {"attempt": int(attempt), "max": int(most)} if attempt and most else {}
        return AgentEvent(EventKind.RETRY, message, {**data, "error": self._retry}, raw)

    def _item(self, stage: str, item: dict[str, Any], raw: bytes) -> Iterator[AgentEvent]:
        kind = text_of(item.get("type"))
        if kind in _TOOLS:
            yield from self._tool(stage, kind, item, raw)
        elif stage == "completed" and kind == "agent_message":
            self._last_text = text_of(item.get("text"))
            yield AgentEvent(EventKind.MESSAGE, self._last_text, {}, raw)
        elif stage == "completed" and kind == "reasoning":
            yield AgentEvent(EventKind.THINKING, text_of(item.get("text")), {}, raw)
        elif kind == "error":
            yield AgentEvent(EventKind.UNKNOWN, text_of(item.get("message")), {"type": "warning"}, raw)
        elif kind == "todo_list":
            yield AgentEvent(EventKind.UNKNOWN, _plan(item), {"type": kind}, raw)
        else:
            yield AgentEvent(EventKind.UNKNOWN, "", {"type": f"item.{stage}", "item": kind}, raw)

    def _tool(self, stage: str, kind: str, item: dict[str, Any], raw: bytes) -> Iterator[AgentEvent]:
        ident = text_of(item.get("id"))
        if ident not in self._open:  # some are told of only when they are done
            if stage != "completed" and len(self._open) < _OPEN:
                self._open.add(ident)
            name, given = _call(kind, item)
            yield AgentEvent(EventKind.TOOL_USE, name, {"id": ident, "name": name, "input": given}, raw)
        elif stage == "updated":
            yield AgentEvent(EventKind.UNKNOWN, "", {"type": "item.updated", "item": kind, "id": ident}, raw)
        if stage == "completed":
            self._open.discard(ident)
            status = text_of(item.get("status"))
            exit_code = item.get("exit_code")
            data: dict[str, Any] = {"id": ident, "ok": status in ("completed", "") and exit_code in (None, 0)}
            if status:
                data["status"] = status
            if isinstance(exit_code, int) and not isinstance(exit_code, bool) and abs(exit_code) < 1 << 32:
                data["exit_code"] = exit_code
            yield AgentEvent(EventKind.TOOL_RESULT, _result(kind, item), data, raw)

    def verdict(self, exit_code: int | None, signal: int | None) -> Verdict:
        cause = self._judge(exit_code, signal)
        if cause is None:
            return Verdict(True, "", "", self._last_text, self._usage or Usage(), self._session, whole=self._goes_on)
        return Verdict(
            ok=False,
            whole=self._goes_on,
            reason=cause.reason,
            message=self._message(cause.reason, exit_code, signal),
            usage=self._usage or Usage(),
            session=self._session,
            infrastructure=cause.infrastructure,
            until=cause.until,
            after_ms=cause.after_ms,
            account=cause.account,
        )

    @property
    def _goes_on(self) -> bool:
        return bool(self._resume) and self._session == self._resume

    def _judge(self, exit_code: int | None, signal: int | None) -> Cause | None:
        """None for success."""
        if self._completed:
            ended = exit_verdict(exit_code, signal)
            return Cause(Failure(ended.reason)) if ended is not None and ended.reason else None
        if self._failure:
            return cause_of(self._failure, self._at) or Cause(Failure.AGENT)
        if self._retry and (cause := cause_of(self._retry, self._at)):
            return cause  # whoever ended it: it was getting nowhere
        if signal or exit_code in _SIGNALS:
            return Cause(Failure.SIGNAL)
        if self._error:
            return cause_of(self._error, self._at) or Cause(Failure.AGENT)
        if not self._begun:
            if cause := cause_in_stderr(self.stderr.text, exit_code):
                return cause
        elif exit_code in (1, 130):
            broken = self.stderr.last_line.startswith("Error:")
            return Cause(Failure.AGENT if broken else Failure.CANCELLED)
        return Cause(Failure.EXIT if exit_code != 0 else Failure.NO_RESULT)

    def _message(self, reason: Failure, exit_code: int | None, signal: int | None) -> str:
        if told := self._failure or self._retry or self._error:
            return plain(told)
        if reason is Failure.CANCELLED:
            return "it was interrupted"
        ended = exit_verdict(exit_code, signal)
        unsaid = not self._begun or reason is Failure.AGENT
        if unsaid and (told := _first_error(self.stderr.text) or self.stderr.last_line):
            return told
        return ended.message if ended else "it gave no result"


def _call(kind: str, item: dict[str, Any]) -> tuple[str, Any]:
    """(name, input) of a tool."""
    match kind:
        case "command_execution":
            return "shell", {"command": text_of(item.get("command"))}
        case "mcp_tool_call":
            names = [text_of(item.get(key)) for key in ("server", "tool")]
            return ".".join(name for name in names if name) or kind, _tame(item.get("arguments"))
        case "collab_tool_call":
            return text_of(item.get("tool")) or kind, {"prompt": text_of(item.get("prompt"))}
        case "web_search":
            return kind, {"query": text_of(item.get("query"))}
        case _:
            return kind, {"changes": _tame(item.get("changes"))}


def _tame(value: object) -> object:
    """What a tool was given, None when it cannot be written as JSON again: too deep, or a number too large."""
    try:
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return None
    return value


def _result(kind: str, item: dict[str, Any]) -> str:
    match kind:
        case "command_execution":
            return text_of(item.get("aggregated_output"))
        case "mcp_tool_call":
            if told := text_of(mapping_of(item.get("error")).get("message")):
                return told
            content = mapping_of(item.get("result")).get("content")
            blocks = content if isinstance(content, list) else []
            return "\n".join(text for block in blocks if (text := text_of(mapping_of(block).get("text"))))
        case "file_change":
            changes = item.get("changes")
            files = [mapping_of(change) for change in changes] if isinstance(changes, list) else []
            return "\n".join(f"{text_of(file.get('kind'))} {text_of(file.get('path'))}".strip() for file in files)
        case _:
            return ""


def _plan(item: dict[str, Any]) -> str:
    steps = item.get("items")
    found = [mapping_of(step) for step in steps] if isinstance(steps, list) else []
    return "\n".join(f"[{'x' if one.get('completed') is True else ' '}] {text_of(one.get('text'))}" for one in found)


def _first_error(stderr: str) -> str:
    """Hints and usage follow the line that says what is wrong."""
    return next((line.strip() for line in stderr.splitlines() if line.lower().startswith("error")), "")

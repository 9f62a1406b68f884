"""What `codex app-server` tells unasked, put into the words of `codex exec --json` where those have any.

Nothing is believed to have the shape the protocol promises.
"""

from __future__ import annotations

import re
from typing import Any

from lite.drivers.lines import Lines
from providers.base import EventKind
from providers.codex_events import CodexParser
from providers.parsing import count_of, mapping_of, text_of

_CAPITAL = re.compile(r"(?<=[a-z])[A-Z]")
_RENAMED = {"collabAgentToolCall": "collab_tool_call"}
_FIELDS = {"aggregatedOutput": "aggregated_output", "exitCode": "exit_code"}
_STATUS = {"inProgress": "in_progress"}
_WARNINGS = ("warning", "configWarning", "guardianWarning", "deprecationNotice")
_CHANGES_KEPT = 20  # of files, that may still be asked about
_THREADS_KEPT = 1000
_COUNTS = {"tokens_in": "inputTokens", "tokens_out": "outputTokens", "tokens_cached": "cachedInputTokens"}


class News:
    """Of one conversation. `thread`, `turn`: whose end is awaited; `ended`: its status then. `changes`: what would
    become of files, by the id of the item."""

    def __init__(self, lines: Lines, parser: CodexParser) -> None:
        self.thread = self.turn = self.ended = self.model = ""
        self.changes: dict[str, Any] = {}
        self._lines = lines
        self._parser = parser
        self._before: dict[str, dict[str, int]] = {}  # thread -> what it had used before this turn
        self._used: dict[str, dict[str, int]] = {}  # thread -> what it has used in all

    def take(self, method: str, params: dict[str, Any], raw: dict[str, Any]) -> None:
        ours = not self.thread or params.get("threadId") == self.thread
        match method:
            case "item/started" | "item/completed":
                self._item(method.removeprefix("item/"), mapping_of(params.get("item")), ours, raw)
            case "item/agentMessage/delta" if ours:
                self._lines.say(EventKind.DELTA, text_of(params.get("delta")))
            case "thread/tokenUsage/updated":
                self._usage(params)
            case "turn/started" if ours:
                self.turn = self.turn or _turn(params)
                self._tell({"type": "turn.started"}, raw)
            case "turn/completed" if ours and _turn(params) == self.turn:
                self._end(mapping_of(params.get("turn")), raw)
            case "error" if ours:
                self._error(params, raw)
            case "turn/plan/updated" if ours:
                plan = params.get("plan")
                steps = [mapping_of(step) for step in plan] if isinstance(plan, list) else []
                entries = [{"text": step.get("step"), "completed": step.get("status") == "completed"} for step in steps]
                self._tell({"type": "item.updated", "item": {"type": "todo_list", "items": entries}}, raw)
            case "model/rerouted" if ours:
                self.model = text_of(params.get("toModel"))[:200] or self.model
                self._lines.say(EventKind.UNKNOWN, "", {"type": method}, raw)
            case _ if method in _WARNINGS:
                text = text_of(params.get("message")) or text_of(params.get("summary"))
                self._lines.say(EventKind.UNKNOWN, text, {"type": "warning"}, raw)
            case _ if isinstance(piece := params.get("delta"), str):
                # the whole follows, and only in the whole can a secret be seen by whoever hides it
                self._lines.say(EventKind.UNKNOWN, "", {"type": method[:200], "characters": len(piece)})
            case _:
                self._lines.say(EventKind.UNKNOWN, "", {"type": method[:200]}, raw)

    def _tell(self, said: dict[str, Any], raw: dict[str, Any] | None) -> None:
        for event in self._parser.on_object(said, b""):
            # the frame tells how it went, once all is over; usage is counted here
            if event.kind not in (EventKind.RESULT, EventKind.USAGE):
                self._lines.say(event.kind, event.text, event.data, raw)
                raw = None  # once is enough

    def _item(self, stage: str, item: dict[str, Any], ours: bool, raw: dict[str, Any]) -> None:
        kind = text_of(item.get("type"))
        if kind == "agentMessage" and not ours:  # of a helper of the agent's: not its own last word
            self._lines.say(EventKind.UNKNOWN, text_of(item.get("text")), {"type": "message of another thread"}, raw)
            return
        if kind == "fileChange":
            ident = text_of(item.get("id"))
            self.changes.pop(ident, None)
            if stage == "started" and len(self.changes) < _CHANGES_KEPT:
                self.changes[ident] = item.get("changes")
        self._tell({"type": f"item.{stage}", "item": _as_told_once(kind, item)}, raw)

    def _end(self, turn: dict[str, Any], raw: dict[str, Any]) -> None:
        self.ended = text_of(turn.get("status")) or "without a status"
        if self.ended == "completed":
            self._tell({"type": "turn.completed"}, raw)
        elif self.ended == "interrupted":
            self._lines.say(EventKind.UNKNOWN, "", {"type": "turn/completed", "status": self.ended}, raw)
        else:
            message = text_of(mapping_of(turn.get("error")).get("message")) or f"the turn is {self.ended[:100]}"
            self._tell({"type": "turn.failed", "error": {"message": message}}, raw)

    def _error(self, params: dict[str, Any], raw: dict[str, Any]) -> None:
        error = mapping_of(params.get("error"))
        message = text_of(error.get("message"))
        if params.get("willRetry") is True:
            event = self._parser.repeats(message, text_of(error.get("additionalDetails")), b"")
            self._lines.say(event.kind, event.text, event.data, raw)
        else:
            self._tell({"type": "error", "message": message}, raw)

    def _usage(self, params: dict[str, Any]) -> None:
        """It tells what its thread, and each thread of its helpers, has used since it first began."""
        usage, thread = mapping_of(params.get("tokenUsage")), text_of(params.get("threadId"))
        total = _counts(usage.get("total"))
        if not total or (thread not in self._used and len(self._used) >= _THREADS_KEPT):
            return
        earlier = thread == self.thread and params.get("turnId") != self.turn
        if not self.turn or earlier:  # told when it is resumed
            self._before[thread] = total
            return
        if thread not in self._before:
            last = _counts(usage.get("last"))
            self._before[thread] = {name: max(0, count - last.get(name, 0)) for name, count in total.items()}
        self._used[thread] = total
        spent = {
            name: sum(max(0, used.get(name, 0) - self._before[one].get(name, 0)) for one, used in self._used.items())
            for name in _COUNTS
        }
        self._lines.say(EventKind.USAGE, "", {**spent, "cost_usd": None, "model": self.model})


def _turn(params: dict[str, Any]) -> str:
    return text_of(mapping_of(params.get("turn")).get("id"))


def _counts(usage: object) -> dict[str, int]:
    said = mapping_of(usage)
    found = {name: count_of(said.get(key)) for name, key in _COUNTS.items()}
    return {name: count for name, count in found.items() if count is not None}


def _as_told_once(kind: str, item: dict[str, Any]) -> dict[str, Any]:
    """The item as a one-shot run would tell of it."""
    said = {_FIELDS.get(key, key): value for key, value in item.items()}
    said["type"] = _RENAMED.get(kind) or _CAPITAL.sub(lambda found: "_" + found[0].lower(), kind)
    status = text_of(item.get("status"))
    said["status"] = _STATUS.get(status, status)
    if kind == "reasoning":
        texts = item.get("summary") or item.get("content")
        said["text"] = "\n\n".join(text_of(one) for one in texts) if isinstance(texts, list) else ""
    if kind == "fileChange" and isinstance(item.get("changes"), list):
        said["changes"] = [_change(mapping_of(one)) for one in item["changes"]]
    return said


def _change(change: dict[str, Any]) -> dict[str, Any]:
    return {**change, "kind": text_of(mapping_of(change.get("kind")).get("type"))}

"""What an ACP agent tells while it works (`session/update`), in neutral lines. Kinds it does not know are told as such.

Nothing is believed to have the shape the protocol promises.
"""

from __future__ import annotations

import json
from typing import Any

from lite.drivers.lines import Lines, shortened
from providers.base import EventKind
from providers.parsing import count_of, mapping_of, number_of, text_of

_MESSAGE_KEPT = 512 << 10  # characters of one message
_THOUGHT_AT_ONCE = 4 << 10  # characters of thinking that are told without waiting for its end
_TOOL_TEXT = 64 << 10
_TOOLS_KEPT = 5_000
_OVER = {"completed": True, "failed": False}


class Updates:
    """One conversation's. While `replaying` (an earlier conversation is being loaded) nothing is told."""

    def __init__(self, lines: Lines) -> None:
        self.replaying = False
        self.replayed = 0
        self.final = ""  # the last message
        self._repeats = 0
        self._lines = lines
        self._message: list[str] = []
        self._message_id: object = None
        self._fresh_call = False  # since the last message nothing else was done
        self._size = 0
        self._thought: list[str] = []
        self._tools: dict[str, _Tool] = {}
        self._refused = ""  # a tool, and nothing was said since
        self._cost: float | None = None
        self._cost_before: float | None = 0.0

    def take(self, update: dict[str, Any], raw: Any) -> None:
        """One `update` of a `session/update`; `raw` is the whole message."""
        kind = update.get("sessionUpdate")
        if kind == "usage_update":
            cost = mapping_of(update.get("cost"))
            if cost.get("currency") in (None, "USD"):
                self._cost = number_of(cost.get("amount"))
        if self.replaying:
            self.replayed += 1
            return
        match kind:
            case "agent_message_chunk":
                self._chunk(update, raw)
            case "agent_thought_chunk":
                self._flush_message()
                self._thought.append(_content(update.get("content")))
                if sum(map(len, self._thought)) >= _THOUGHT_AT_ONCE:
                    self._flush_thought()
            case "tool_call" | "tool_call_update":
                self.flush()
                self._fresh_call = False
                self._tool(update, raw)
            case _:
                self._lines.say(EventKind.UNKNOWN, _plan(update), {"type": _word(kind)}, raw)

    def asked(self, call: dict[str, Any], raw: Any) -> str:
        """The agent asks about this tool: its name. Some tell of it here first."""
        self.flush()
        tool = self._remember(call)
        self._begin(tool, raw)
        return tool.name

    def refused(self, tool: str) -> None:
        """It was not allowed to."""
        self._refused = tool

    @property
    def stopped_at(self) -> str:
        """The tool whose refusal was the end of the work, "" when the agent went on."""
        return self._refused

    def begin_turn(self, fresh: bool) -> None:
        """From here on it is this attempt's work; what a loaded conversation cost before is not known when not told."""
        self.replaying = False
        self._cost_before = self._cost if self._cost is not None else (0.0 if fresh else None)

    def end_turn(self, answer: dict[str, Any], raw: Any) -> None:
        """The answer to the prompt: the rest of what was said, and the usage."""
        self.flush()
        for tool in self._tools.values():
            self._begin(tool, None)
        usage = mapping_of(answer.get("usage"))
        quota = mapping_of(mapping_of(mapping_of(answer.get("_meta")).get("quota")).get("token_count"))
        said = {
            "tokens_in": _sum(usage, "inputTokens", "cachedReadTokens", "cachedWriteTokens")
            or count_of(quota.get("input_tokens")),
            "tokens_out": _sum(usage, "outputTokens", "thoughtTokens") or count_of(quota.get("output_tokens")),
            "cost_usd": self._spent(),
        }
        if any(value is not None for value in said.values()):
            self._lines.say(EventKind.USAGE, "", said, raw)

    def flush(self) -> None:
        """What was said in pieces is whole now."""
        self._flush_message()
        self._flush_thought()

    def _spent(self) -> float | None:
        if self._cost is None or self._cost_before is None:
            return None
        return max(0.0, round(self._cost - self._cost_before, 9))

    def _chunk(self, update: dict[str, Any], raw: Any) -> None:
        self._flush_thought()
        if update.get("messageId") != self._message_id:
            self._flush_message()
            self._message_id = update.get("messageId")
        text = _content(update.get("content"))
        self._refused = "" if text.strip() else self._refused
        self._lines.say(EventKind.DELTA, text, {}, raw)
        self._size += len(text)
        if self._size <= _MESSAGE_KEPT:
            self._message.append(text)
        elif self._size - len(text) <= _MESSAGE_KEPT:
            self._message.append(text[: _MESSAGE_KEPT - self._size])

    def _flush_message(self) -> None:
        if not self._message:
            return
        text = self._lines.hide("".join(self._message))
        data = {"cut": {"text": self._size}} if self._size > _MESSAGE_KEPT else {}
        self._message, self._size = [], 0
        if text and text == self.final and self._fresh_call:
            # a cut answer is asked for again, by some for ever, and told as one more message
            self._repeats += 1
            self._lines.say(EventKind.RETRY, "the agent begins its answer again", {"attempt": self._repeats})
        self._fresh_call = True
        if text:
            self.final = text
            self._lines.say(EventKind.MESSAGE, text, data)

    def _flush_thought(self) -> None:
        if self._thought:
            self._lines.say(EventKind.THINKING, "".join(self._thought))
            self._thought = []

    def _tool(self, update: dict[str, Any], raw: Any) -> None:
        tool = self._remember(update)
        status = text_of(update.get("status"))
        if status != "pending":  # some announce a tool before they know all that it is given
            self._begin(tool, raw)
        if status in _OVER and not tool.over:
            tool.over = True
            data = {"id": tool.id, "ok": _OVER[status]}
            self._lines.say(EventKind.TOOL_RESULT, _output(update), data, raw)
            if len(self._tools) > _TOOLS_KEPT:
                del self._tools[next(iter(self._tools))]
        elif tool.begun_by is not raw:
            self._lines.say(EventKind.UNKNOWN, "", {"type": "tool_call_update", "id": tool.id, "status": status}, raw)

    def _remember(self, said: dict[str, Any]) -> _Tool:
        ident = _word(said.get("toolCallId"))
        tool = self._tools.get(ident)
        if tool is None:
            tool = self._tools[ident] = _Tool(ident)
        tool.name = text_of(said.get("title"))[:500] or tool.name
        tool.kind = text_of(said.get("kind"))[:50] or tool.kind
        tool.given = said.get("rawInput") or tool.given
        return tool

    def _begin(self, tool: _Tool, raw: Any) -> None:
        if not tool.begun:
            tool.begun, tool.begun_by = True, raw
            data = {"id": tool.id, "name": tool.name, "kind": tool.kind, "input": tool.given}
            self._lines.say(EventKind.TOOL_USE, tool.name, data, raw)
            tool.given = True if tool.given else None  # told; it may be long


class _Tool:
    """`begun`: it was told of; `over`: so was its end."""

    __slots__ = ("begun", "begun_by", "given", "id", "kind", "name", "over")

    def __init__(self, ident: str) -> None:
        self.id, self.name, self.kind = ident, "tool", ""
        self.given: Any = None
        self.begun = self.over = False
        self.begun_by: Any = None


def asked_text(call: dict[str, Any]) -> str:
    """All a person must know to allow a tool: its kind and title, what it is given, what it would write."""
    kind, title = text_of(call.get("kind")), text_of(call.get("title")) or "a tool"
    parts = [f"{kind}: {title}" if kind else title]
    given = call.get("rawInput")
    if given:
        parts.append(json.dumps(given, ensure_ascii=False, indent=1, default=str))
    if told := _contents(call.get("content")):
        parts.append(told)
    return "\n".join(parts)


def _output(update: dict[str, Any]) -> str:
    told = _contents(update.get("content"))
    if not told:
        output = update.get("rawOutput")
        inner = mapping_of(output).get("output", output)
        told = inner if isinstance(inner, str) else ("" if inner is None else json.dumps(inner, ensure_ascii=False))
    return shortened(told, _TOOL_TEXT)


def _contents(blocks: object) -> str:
    """The contents of a tool call: texts, and files with what they will hold."""
    told = []
    for block in blocks if isinstance(blocks, list) else ():
        if not isinstance(block, dict):
            continue
        if block.get("type") == "diff":
            told.append(f"{text_of(block.get('path'))}:\n{text_of(block.get('newText'))}")
        elif block.get("type") == "content":
            told.append(_content(block.get("content")))
    return "\n".join(told)


def _content(block: object) -> str:
    """A content block as text; what is no text is named."""
    said = mapping_of(block)
    match said.get("type"):
        case "text":
            return text_of(said.get("text"))
        case "resource_link":
            return text_of(said.get("uri"))
        case "resource":
            return text_of(mapping_of(said.get("resource")).get("text"))
        case other:
            return f"[{_word(other)}]"


def _plan(update: dict[str, Any]) -> str:
    entries = update.get("entries") if update.get("sessionUpdate") == "plan" else None
    lines = [mapping_of(one) for one in entries] if isinstance(entries, list) else []
    return "\n".join(f"[{_word(one.get('status'))}] {text_of(one.get('content'))[:500]}" for one in lines[:100])


def _word(value: object) -> str:
    return value[:200] if isinstance(value, str) else str(type(value).__name__)


def _sum(usage: dict[str, Any], *keys: str) -> int | None:
    counts = [count for key in keys if (count := count_of(usage.get(key))) is not None]
    return sum(counts) if counts else None

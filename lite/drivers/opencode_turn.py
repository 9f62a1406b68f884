"""What `opencode serve` tells of one turn, in neutral lines, each part once: however often it is told, by the event
stream or by reading the conversation again. How it ends is judged as for `opencode run`, by the same parser.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lite.drivers.lines import Lines
from lite.drivers.outcome import Outcome
from providers.base import AgentEvent, EventKind
from providers.opencode_events import OpenCodeParser, Told
from providers.parsing import mapping_of, text_of

_DELTA_AT_ONCE = 128 << 10  # characters
_OVER = ("completed", "error")
_OF_A_STEP = {"step-start": "step_start", "step-finish": "step_finish"}
_STRANGE_TOLD = 200
_QUIET = frozenset(
    (
        "server.connected",
        "server.heartbeat",
        "plugin.added",
        "catalog.updated",
        "reference.updated",
        "integration.updated",
        "session.created",
        "session.updated",
        "session.diff",
        "session.status",
        "session.idle",
        "session.error",
        "message.updated",
        "message.part.updated",
        "message.part.delta",
        "permission.asked",
        "permission.replied",
        "question.asked",
        "question.replied",
        "question.rejected",
        "file.watcher.updated",
        "lsp.updated",
        "lsp.client.diagnostics",
        "project.updated",
    )
)


class Turn:
    """Of the conversation `session`; what was in it up to the message `after` is another turn's."""

    def __init__(self, lines: Lines, *, thinking: bool, resumed: bool) -> None:
        self.session = ""
        self.after = ""
        self.begun = False  # something was told of it
        self._lines = lines
        self._thinking = thinking
        self._parser = OpenCodeParser(resumed=resumed)
        self._aside = OpenCodeParser()  # reads what subagents do
        self._children: set[str] = set()
        self._messages: dict[str, bool] = {}  # id -> of the agent itself, not of a subagent and no summary
        self._texts: dict[str, _Text] = {}
        self._tools: dict[str, bool] = {}  # part -> it is over
        self._steps: set[str] = set()  # parts
        self._failed: set[str] = set()  # errors, as told
        self._strange = 0
        self._marks = 0

    def knows(self, session: str) -> bool:
        """It is this conversation, or that of a subagent in it."""
        return bool(session) and (session == self.session or session in self._children)

    def is_child(self, session: str) -> bool:
        return session in self._children

    def take(self, kind: str, properties: dict[str, Any], raw: Any) -> None:
        """One event."""
        session = text_of(properties.get("sessionID"))
        if kind == "session.created":
            info = mapping_of(properties.get("info"))
            if self.knows(text_of(info.get("parentID"))):
                self._children.add(text_of(info.get("id")))
        elif kind not in _QUIET:
            self._strange += 1
            if self._strange <= _STRANGE_TOLD:
                self._lines.say(EventKind.UNKNOWN, "", {"type": kind[:200]}, raw)
        elif not self.knows(session):
            return
        elif kind == "message.updated":
            self._message(mapping_of(properties.get("info")), raw)
        elif kind == "message.part.updated":
            self._part(mapping_of(properties.get("part")), raw)
        elif kind == "message.part.delta":
            self._delta(properties, raw)
        elif kind == "session.error":
            self._error(session, mapping_of(properties.get("error")), raw)
        elif kind == "session.status":
            self.begun = True
            status = mapping_of(properties.get("status"))
            if status.get("type") == "retry":
                self._tell({**status, "type": Told.REPEATS}, raw)

    def gap(self) -> None:
        """Events were lost perhaps: of what is being said now, the end tells the rest."""
        for text in self._texts.values():
            text.torn = True

    def read_again(self, messages: object) -> None:
        """The conversation as it is kept."""
        for one in messages if isinstance(messages, list) else ():
            entry = mapping_of(one)
            info = mapping_of(entry.get("info"))
            if not self.knows(text_of(info.get("sessionID"))):
                continue
            self._message(info, None)
            parts = entry.get("parts")
            for part in parts if isinstance(parts, list) else ():
                self._part(mapping_of(part), mapping_of(part))

    def end(self) -> Outcome:
        """How it went."""
        found = self._parser.verdict(0, None)
        return Outcome(
            found.ok,
            (found.output or "") if found.ok else found.message,
            found.reason,
            found.infrastructure,
            found.until,
            found.after_ms,
            found.account,
        )

    def _message(self, info: dict[str, Any], raw: Any) -> None:
        ident, session = text_of(info.get("id")), text_of(info.get("sessionID"))
        # ids rise with time, and the program itself goes by that
        if info.get("role") != "assistant" or not ident or (session == self.session and ident <= self.after):
            return
        self.begun = True
        self._messages[ident] = session == self.session and info.get("summary") is not True
        error = mapping_of(info.get("error"))
        if error and self._messages[ident]:
            self._error(session, error, raw)

    def _error(self, session: str, error: dict[str, Any], raw: Any) -> None:
        """It comes as an event and in the message it ended."""
        self.begun = True
        seen = repr(error)
        if seen in self._failed:
            return
        self._failed.add(seen)
        if session != self.session:
            words = text_of(mapping_of(error.get("data")).get("message"))
            self._lines.say(EventKind.UNKNOWN, words, {"type": "error", "subagent": session}, raw)
            return
        for event in self._parser.on_object({"type": "error", "error": error}, b""):
            # the result is told at the end
            self._lines.say(EventKind.UNKNOWN, event.text, {**event.data, "type": "error"}, raw)

    def _delta(self, properties: dict[str, Any], raw: Any) -> None:
        text = self._texts.get(text_of(properties.get("partID")))
        if text is None or text.over or properties.get("field") != "text":
            return
        if self._parser.repeating:
            text.torn = True
        piece = text_of(properties.get("delta"))
        if text.torn or text.thought or not piece:
            return
        text.told += len(piece)
        self._lines.say(EventKind.DELTA, piece, {}, raw)

    def _part(self, part: dict[str, Any], raw: Any) -> None:
        ident, kind = text_of(part.get("id")), part.get("type")
        own = self._messages.get(text_of(part.get("messageID")))
        if own is None or not ident:
            return
        if kind in ("text", "reasoning"):
            self._text(ident, part, own=own)
        elif kind == "tool":
            self._tool(ident, part, raw, own=own)
        elif kind in _OF_A_STEP and ident not in self._steps:
            self._steps.add(ident)
            if own:
                self._tell({"type": _OF_A_STEP[kind], "part": part}, raw)
            elif kind == "step-finish":
                self._tell({"type": Told.SUBAGENT_STEP, "part": part}, raw)

    def _text(self, ident: str, part: dict[str, Any], *, own: bool) -> None:
        text = self._texts.get(ident)
        whole = text_of(part.get("text"))
        if text is None:
            # what has begun already has pieces that nobody heard
            text = self._texts[ident] = _Text(thought=part.get("type") == "reasoning", torn=bool(whole) or not own)
        if text.over or not mapping_of(part.get("time")).get("end"):
            return
        text.over = True
        if not own:
            self._lines.say(EventKind.UNKNOWN, whole, {"type": "text", "subagent": text_of(part.get("sessionID"))})
            return
        if text.thought:
            if self._thinking:
                self._tell({"type": "reasoning", "part": part}, None)
            return
        if not self._parser.repeating:
            for at in range(text.told, len(whole), _DELTA_AT_ONCE):
                self._lines.say(EventKind.DELTA, whole[at : at + _DELTA_AT_ONCE])
        self._tell({"type": "text", "part": part}, None)  # its raw form is the text once more

    def _tool(self, ident: str, part: dict[str, Any], raw: Any, *, own: bool) -> None:
        status = mapping_of(part.get("state")).get("status")
        if status in (None, "pending") or self._tools.get(ident):
            return
        if ident not in self._tools:
            self._tools[ident] = False
            self._tell({"type": Told.TOOL_BEGINS, "part": part}, raw, own=own)
        if status in _OVER:
            self._tools[ident] = True
            self._tell({"type": Told.TOOL_ENDS, "part": part}, raw, own=own)

    def _tell(self, said: dict[str, Any], raw: Any, *, own: bool = True) -> None:
        """`said` in the words of the parser."""
        self._marks += 1
        mark = str(self._marks).encode()  # what was held back until now has its own
        parser = self._parser if own else self._aside
        events: Iterable[AgentEvent] = parser.on_object(said, mark)
        for event in events:
            if event.kind is EventKind.INIT:
                continue
            data = event.data if own else {**event.data, "subagent": mapping_of(said.get("part")).get("sessionID")}
            self._lines.say(event.kind, event.text, data, raw if event.raw == mark else None)


class _Text:
    """`told`: how many characters of its beginning; `torn`: the pieces that come are not the next ones."""

    __slots__ = ("over", "thought", "told", "torn")

    def __init__(self, *, thought: bool, torn: bool) -> None:
        self.thought, self.torn = thought, torn
        self.told, self.over = 0, False

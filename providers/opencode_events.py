"""Reading opencode: what it says, and whether it went well. `opencode run --format json` says it in lines of its own;
what `opencode serve` tells, its driver puts into the same words and some more (`Told`).

Facts it rests on, seen with 1.18: nothing announces the beginning or the end; every event carries the session's id; the
end is the exit after a step that ended with `stop`. A step that ends with `unknown` was cut, and is asked for again,
without a pause and without an end. An error on stdout means exit 1, also when it went on after it. A permission is
refused by itself (told on stderr), the run ends with that step and exits 0. Failed calls it repeats are only in its
log, for which it is started with `--print-logs`. What subagents do and use is told by `serve` only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any, TypeVar

from providers.base import AgentEvent, EventKind, Failure, Source, Stream, Usage, Verdict
from providers.opencode_failures import Cause, cause_of_error, cause_of_words
from providers.parsing import (
    JsonLinesParser,
    LineSplitter,
    Oversized,
    count_of,
    exit_verdict,
    mapping_of,
    number_of,
    text_of,
)

_Number = TypeVar("_Number", int, float)
SESSION_ID = re.compile(r"ses_[0-9A-Za-z]{1,120}\Z")
_LOG_LINE = 1 << 18  # bytes of a line of stderr; of a longer one only the head is read
_LOG_READ = 1 << 13
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_FIELD = re.compile(r'([\w.]+)=(?:"((?:[^"\\]|\\.)*)"?|(\S*))')
_ERROR_CLASS = re.compile(r"\A\w*Error: ")
_CIRCLES = 2  # cut answers in a row, from which on they, and not the signal, are why it failed

# what it says before it begins
_BY_PLAIN_WORDS = (
    ("Session not found", Cause(Failure.UNKNOWN_SESSION)),
    ("opencode run [message..]", Cause(Failure.BAD_FLAG, "it does not understand its arguments")),
    ("starts a headless opencode server", Cause(Failure.BAD_FLAG, "it does not understand its arguments")),
    ("requires --continue or --session", Cause(Failure.BAD_FLAG)),
    ("You must provide a message", Cause(Failure.BAD_FLAG)),
    ("Config file at", Cause(Failure.BAD_FLAG)),
    ("Configuration is invalid", Cause(Failure.BAD_FLAG)),
    # several that start at once on a new home make the database there; one may fail
    ("Failed query:", Cause(Failure.EXIT, "its database failed a query", infrastructure=True)),
    ("database is locked", Cause(Failure.EXIT, infrastructure=True)),
)


def cause_of_plain_words(text: str) -> Cause | None:
    """Why it did not begin; its message is the text where the words need no others."""
    found = next((cause for words, cause in _BY_PLAIN_WORDS if words in text), None)
    return replace(found, message=found.message or text.removeprefix("Error:").strip()) if found else None


class Told(StrEnum):
    """What only `serve` tells: when a tool begins and ends, that a call is repeated, what a subagent's step used."""

    TOOL_BEGINS = "tool_begins"
    TOOL_ENDS = "tool_ends"
    REPEATS = "call_repeats"
    SUBAGENT_STEP = "subagent_step_finish"


class OpenCodeParser(JsonLinesParser):
    """One attempt's output; `resumed`: it goes on with an earlier conversation."""

    def __init__(self, *, resumed: bool = False) -> None:
        super().__init__()
        self._resumed = resumed
        self._log = LineSplitter(_LOG_LINE)
        self._session = ""
        self._texts: list[str] = []  # of the step at hand
        self._output = ""  # of the last step that had any
        self._usage: Usage | None = None  # of all steps so far
        self._open = False  # a step began and has not ended
        self._fruitful = False  # it used a tool
        self._finish = ""  # why the last step ended
        self._done = False  # by its last word
        self._cuts = 0  # steps in a row that came to nothing
        self._held: list[AgentEvent] = []  # said since the last of them: by a step that may be cut as well
        self._error: dict[str, Any] | None = None  # the last one
        self._failing: Cause | None = None  # a call that failed, until one goes well
        self._failed_within = ""  # what its log says of an error of its own
        self._torn = False  # its last line lacks an end
        self._refused = ""
        self._other_agent = ""
        self._plain: Cause | None = None

    @property
    def repeating(self) -> bool:
        """The answer was cut and is asked for again: until it is whole, what is said is no progress."""
        return self._cuts > 0

    def feed(self, stream: Stream, data: bytes) -> Sequence[AgentEvent]:
        if stream != "err":
            return super().feed(stream, data)
        self.stderr.feed(data)
        return list(self._hear(self._log.feed(data)))

    def end(self, exit_code: int | None, signal: int | None) -> Verdict:
        for _ in self._hear(self._log.end()):
            pass
        rest = self._read(self._lines.end())
        self._torn = any(event.data.get("malformed") or event.data.get("skipped_bytes") for event in rest)
        return self.verdict(exit_code, signal)

    def on_object(self, said: dict[str, Any], raw: bytes) -> Iterator[AgentEvent]:
        if not self._session and SESSION_ID.match(session := text_of(said.get("sessionID"))):
            self._session = session
            yield AgentEvent(EventKind.INIT, "", {"session": session}, raw)
        part = mapping_of(said.get("part"))
        match said.get("type"):
            case "step_start":
                yield from self._began(raw)
            case "step_finish":
                yield from self._ended(part, raw)
            case "text":
                yield from self._said(part, raw)
            case "reasoning":
                yield from self._unless_cut(AgentEvent(EventKind.THINKING, text_of(part.get("text")), {}, raw))
            case "tool_use":  # once the tool has ended: the use and its result in one
                yield from self._use(part, raw)
                yield self._result(part, raw)
            case "error":
                yield self._failed(mapping_of(said.get("error")), raw)
            case Told.TOOL_BEGINS:
                yield from self._use(part, raw)
            case Told.TOOL_ENDS:
                yield self._result(part, raw)
            case Told.REPEATS:
                yield self._called_again(said, raw)
            case Told.SUBAGENT_STEP:
                yield from self._spent(part, {}, raw)
            case other:
                yield AgentEvent(EventKind.UNKNOWN, "", {"type": other}, raw)

    def _began(self, raw: bytes) -> Iterator[AgentEvent]:
        if self._open and not self._fruitful:
            self._cuts += 1
            yield from self._let_go(cut=True)
            if self._failing is None:  # else its log told
                yield self._repeats("the answer broke off", raw)
        if self._texts:
            self._output = "\n".join(self._texts)
        self._open, self._fruitful, self._done, self._finish = True, False, False, ""
        self._texts = []

    def _ended(self, part: dict[str, Any], raw: bytes) -> Iterator[AgentEvent]:
        self._finish = text_of(part.get("reason"))
        self._done = self._finish == "stop"
        self._open = False
        cut = self._finish in ("", "unknown") and not self._fruitful
        if cut:
            self._cuts += 1
        else:
            self._cuts, self._failing = 0, None
        yield from self._let_go(cut=cut)
        yield from self._spent(part, {"finish": self._finish}, raw)
        if cut:
            yield self._repeats("the answer was cut", raw)

    def _spent(self, part: dict[str, Any], data: dict[str, Any], raw: bytes) -> Iterator[AgentEvent]:
        usage = _add(self._usage, part)
        if usage is not None and usage is not self._usage:  # of an answer that was cut it knows nothing
            self._usage = usage
            used = {"tokens_in": usage.tokens_in, "tokens_out": usage.tokens_out, "cost_usd": usage.cost_usd}
            yield AgentEvent(EventKind.USAGE, "", {**used, **data}, raw)

    def _repeats(self, text: str, raw: bytes) -> AgentEvent:
        return AgentEvent(EventKind.RETRY, text, {"in_a_row": self._cuts}, raw)

    def _said(self, part: dict[str, Any], raw: bytes) -> Iterator[AgentEvent]:
        text = text_of(part.get("text"))
        if part.get("synthetic") is True:  # what it told the model in the user's place
            yield AgentEvent(EventKind.UNKNOWN, text, {"type": "text", "synthetic": True}, raw)
            return
        if text:
            self._texts.append(text)
        yield from self._unless_cut(AgentEvent(EventKind.MESSAGE, text, {}, raw))

    def _unless_cut(self, event: AgentEvent) -> Iterator[AgentEvent]:
        """After a cut, the same once more is no progress: what is said waits for how its step ends."""
        if self._cuts:
            self._held.append(event)
        else:
            yield event

    def _let_go(self, *, cut: bool) -> list[AgentEvent]:
        held, self._held = self._held, []
        return [replace(one, kind=EventKind.UNKNOWN, data={"cut": True}) for one in held] if cut else held

    def _use(self, part: dict[str, Any], raw: bytes) -> Iterator[AgentEvent]:
        self._fruitful = True
        yield from self._let_go(cut=False)
        name, ident = text_of(part.get("tool")), text_of(part.get("callID"))
        use = {"id": ident, "name": name, "input": mapping_of(mapping_of(part.get("state")).get("input"))}
        yield AgentEvent(EventKind.TOOL_USE, name, use, raw)

    def _result(self, part: dict[str, Any], raw: bytes) -> AgentEvent:
        name, ident = text_of(part.get("tool")), text_of(part.get("callID"))
        state = mapping_of(part.get("state"))
        error = text_of(state.get("error"))
        if "rejected permission" in error:
            self._refused = self._refused or error
        code = mapping_of(state.get("metadata")).get("exit")
        ok = state.get("status") == "completed" and name != "invalid" and code in (None, 0)
        data: dict[str, Any] = {"id": ident, "ok": ok}
        if isinstance(code, int):
            data["exit"] = code
        return AgentEvent(EventKind.TOOL_RESULT, error or text_of(state.get("output")), data, raw)

    def _called_again(self, said: dict[str, Any], raw: bytes) -> AgentEvent:
        """Of a call that failed `serve` tells the words only, and when it asks again."""
        words = text_of(said.get("message"))
        cause = cause_of_words(words) or Cause(Failure.API_ERROR)
        self._failing = replace(cause, message=words or "a call to the model failed")
        data = {"error": cause.reason.value, "attempt": said.get("attempt"), "next": said.get("next")}
        return AgentEvent(EventKind.RETRY, words[:1000], data, raw)

    def _failed(self, error: dict[str, Any], raw: bytes) -> AgentEvent:
        self._error = error
        self._done = False
        cause = cause_of_error(error, self._failed_within)
        self._failing = cause
        return AgentEvent(EventKind.RESULT, cause.message, {"ok": False, "error": text_of(error.get("name"))}, raw)

    # stderr

    def _hear(self, lines: Iterable[bytes | Oversized]) -> Iterator[AgentEvent]:
        for line in lines:
            raw = line.head if isinstance(line, Oversized) else line
            text = _COLOUR.sub("", raw[:_LOG_READ].decode("utf-8", "replace")).strip()
            if text.startswith("timestamp=") and " level=" in text:
                yield from self._logged(text, raw)
            elif "permission requested:" in text:
                self._refused = text.removeprefix("!").strip()
                yield AgentEvent(EventKind.UNKNOWN, self._refused, {"denied": True}, raw)
            elif "Falling back to default agent" in text:
                self._other_agent = text.removeprefix("!").strip()
                yield AgentEvent(EventKind.UNKNOWN, self._other_agent, {"type": "agent"}, raw)
            elif self._plain is None:
                self._plain = cause_of_plain_words(text)

    def _logged(self, text: str, raw: bytes) -> Iterator[AgentEvent]:
        fields = {key: _unquoted(quoted) or bare for key, quoted, bare in _FIELD.findall(text)}
        words = [_ERROR_CLASS.sub("", fields[key]) for key in fields if key.startswith("error") and fields[key]]
        if fields.get("message") == "failed" and words:
            self._failed_within = words[0]
        # a failed call for a title (`small`) matters to nobody
        if fields.get("message") != "stream error" or fields.get("small") == "true" or not words:
            return
        found = cause_of_words(" ".join(words)) or Cause(Failure.API_ERROR)
        self._failing = replace(found, message=words[0])
        kind = EventKind.RETRY if found.infrastructure else EventKind.UNKNOWN
        yield AgentEvent(kind, words[0][:1000], {"error": found.reason.value}, raw)

    # the end

    def verdict(self, exit_code: int | None, signal: int | None) -> Verdict:
        cause = self._judge(exit_code, signal)
        usage = self._usage or Usage()
        if cause is None:
            return Verdict(ok=True, output=self._final_text(), usage=usage, session=self._session)
        return Verdict(
            ok=False,
            reason=cause.reason,
            message=cause.message,
            usage=usage,
            session=self._session,
            infrastructure=cause.infrastructure,
            until=cause.until,
            after_ms=cause.after_ms,
            account=cause.account,
        )

    def _final_text(self) -> str:
        return "\n".join(self._texts) or self._output

    def _judge(self, exit_code: int | None, signal: int | None) -> Cause | None:
        """None for success."""
        if self._done and exit_code == 0 and not signal:
            # it was asked for another one, which may have been allowed less
            return Cause(Failure.BAD_FLAG, self._other_agent) if self._other_agent else None
        killed = bool(signal) or exit_code in (129, 130, 137, 143)
        if self._error is not None and not killed:
            return cause_of_error(self._error, self._failed_within)
        if self._refused and exit_code == 0 and not signal:
            return Cause(Failure.TOOL_REFUSED, self._refused)
        if self._failing is not None:
            return self._failing
        if self._cuts >= (_CIRCLES if killed else 1):
            return Cause(Failure.CUT_STREAM, f"the answer was cut, {self._cuts} in a row", infrastructure=True)
        if self._plain is not None and not self._session and not killed:
            return self._plain
        ended = exit_verdict(exit_code, signal)
        if ended is None:
            return self._judge_silence()
        if killed and self._resumed and not self._session:
            hint = "it said nothing; a conversation can be gone on with only in the directory where it began"
            return Cause(Failure.SIGNAL, f"{ended.message}: {hint}")
        told = "" if killed else _COLOUR.sub("", self.stderr.last_line)
        return Cause(Failure.SIGNAL if killed else Failure.EXIT, told or ended.message)

    def _judge_silence(self) -> Cause:
        """Exit 0 without the last word."""
        if self._torn:
            said = "its last words are lost: it ends without waiting until they are read"
            return Cause(Failure.NO_RESULT, said, infrastructure=True)
        if self._finish == "length":
            return Cause(Failure.AGENT, "its answer was longer than the model may give")
        if self._finish:
            return Cause(Failure.NO_RESULT, f"its last step ended with {self._finish[:80]}")
        return Cause(Failure.NO_RESULT, "it ended without a word")


def _add(known: Usage | None, part: dict[str, Any]) -> Usage | None:
    """With what this step used. Input counts everything the model read, also what came from a cache, and output what
    it thought. What it does not know it calls 0: the cost without a price, and all of an answer without an end."""
    tokens = mapping_of(part.get("tokens"))
    cache = mapping_of(tokens.get("cache"))
    read = _sum(tokens.get("input"), cache.get("read"), cache.get("write"))
    written = _sum(tokens.get("output"), tokens.get("reasoning"))
    if not read and not written:
        return known
    so_far = known or Usage(source=Source.REPORTED)
    return Usage(
        _plus(so_far.tokens_in, read),
        _plus(so_far.tokens_out, written),
        _finite(_plus(so_far.cost_usd, number_of(part.get("cost")) or None)),
        Source.REPORTED,
    )


def _sum(first: object, *more: object) -> int | None:
    """None unless the first is there."""
    known = count_of(first)
    return None if known is None else known + sum(count_of(one) or 0 for one in more)


def _plus(one: _Number | None, other: _Number | None) -> _Number | None:
    return other if one is None else one if other is None else one + other


def _finite(amount: float | None) -> float | None:
    return amount if amount is not None and math.isfinite(amount) else None


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), text)

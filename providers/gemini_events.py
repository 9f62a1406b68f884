"""Reading Gemini CLI's `stream-json` output: what it says, and whether it went well.

Facts it rests on, seen with 0.61: answers come as deltas only, and after a broken stream it begins anew without saying
so; calls that it tries again are told on stderr only; a cut stream and every interruption exit with 0, and a run it
stopped itself (a loop, its limit of turns) ends as a success with a word of warning before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from providers.base import AgentEvent, EventKind, Failure, Source, Stream, Usage, Verdict
from providers.gemini_failures import Cause, cause_of_call, cause_of_exit, first_words, plain_words
from providers.parsing import JsonLinesParser, LineSplitter, count_of, exit_verdict, mapping_of, text_of

_RETRY = re.compile(r"Attempt (\d{1,6}) failed.*?[Rr]etrying")
_STOPPED = re.compile(r"Loop detected|session turns|execution blocked")
_LONGEST_LINE = 64 << 10  # bytes of a line on stderr
_LONGEST_RETRY = 1000  # characters
_LONGEST_TEXT = 8 << 20  # characters of one message
_CUT_MARK = "\n[cut: the rest is in the recording]"


class GeminiParser(JsonLinesParser):
    """One attempt's output."""

    def __init__(self) -> None:
        super().__init__()
        self._told = LineSplitter(_LONGEST_LINE)
        self._session = ""
        self._result: dict[str, Any] | None = None
        self._parts: list[str] = []  # of the message that is being written
        self._size = 0
        self._raw = b""  # the last line of it
        self._last_text = ""
        self._error = ""  # the last one it told of that nothing but the end came after
        self._retried = ""  # the call it was trying again when we last heard of it

    def feed(self, stream: Stream, data: bytes) -> Sequence[AgentEvent]:
        if stream == "out":
            return super().feed(stream, data)
        super().feed(stream, data)
        return [event for line in self._told.feed(data) if isinstance(line, bytes) for event in self._retry(line)]

    def on_object(self, said: dict[str, Any], raw: bytes) -> Iterator[AgentEvent]:
        match said.get("type"):
            case "init":
                self._session = text_of(said.get("session_id"))
                self._result = None
                yield AgentEvent(EventKind.INIT, "", {"session": self._session, **_pick(said, ("model",))}, raw)
            case "message" if said.get("role") == "assistant":
                yield from self._message(said, raw)
            case "message":
                yield AgentEvent(EventKind.UNKNOWN, text_of(said.get("content")), _pick(said, ("type", "role")), raw)
            case "tool_use":
                yield from self._whole_message()
                self._goes_on()
                name = text_of(said.get("tool_name"))
                data = {"id": said.get("tool_id"), "name": name, "input": said.get("parameters")}
                yield AgentEvent(EventKind.TOOL_USE, name, data, raw)
            case "tool_result":
                yield from self._whole_message()
                error = mapping_of(said.get("error"))
                text = text_of(error.get("message")) or text_of(said.get("output"))
                data = {"id": said.get("tool_id"), "ok": said.get("status") == "success"}
                yield AgentEvent(EventKind.TOOL_RESULT, text, data | _pick(error, ("type",)), raw)
            case "error":
                yield from self._whole_message()
                text = text_of(said.get("message"))
                if said.get("severity") == "error" or _STOPPED.search(text[:_LONGEST_LINE]):
                    self._error = text
                yield AgentEvent(EventKind.UNKNOWN, text, _pick(said, ("type", "severity")), raw)
            case "result":
                yield from self._whole_message()
                self._result = said
                usage = _usage(said)
                data = {"tokens_in": usage.tokens_in, "tokens_out": usage.tokens_out}
                yield AgentEvent(EventKind.USAGE, "", data, raw)
                ok = said.get("status") == "success"
                text = self._last_text if ok else plain_words(self._words())
                stats = _pick(mapping_of(said.get("stats")), ("duration_ms", "tool_calls", "cached", "models"))
                yield AgentEvent(EventKind.RESULT, text, {"ok": ok, **stats}, raw)
            case other:
                yield AgentEvent(EventKind.UNKNOWN, "", {"type": other}, raw)

    def verdict(self, exit_code: int | None, signal: int | None) -> Verdict:
        for _ in self._whole_message():
            pass  # it ended in the middle of one
        for line in self._told.end():
            if isinstance(line, bytes):
                self._retry(line)
        cause = self._judge(exit_code, signal)
        return Verdict(
            ok=cause is None,
            reason=cause.reason if cause else "",
            message=self._why(exit_code, signal) if cause else "",
            output=None if cause else self._last_text,
            usage=_usage(self._result) if self._result else Usage(),
            session=self._session,
            infrastructure=bool(cause and cause.infrastructure),
            after_ms=cause.after_ms if cause else None,
            account=bool(cause and cause.account),
        )

    def _message(self, said: dict[str, Any], raw: bytes) -> Iterator[AgentEvent]:
        text = text_of(said.get("content"))
        if said.get("delta") is not True:
            yield from self._whole_message()
        self._goes_on()
        if text and self._size <= _LONGEST_TEXT:
            self._parts.append(text[: _LONGEST_TEXT - self._size] if self._size + len(text) > _LONGEST_TEXT else text)
        self._size += len(text)
        self._raw = raw
        if said.get("delta") is True:
            yield AgentEvent(EventKind.DELTA, text, {}, raw)
        else:
            yield from self._whole_message()

    def _whole_message(self) -> Iterator[AgentEvent]:
        """What the deltas before came to."""
        if not self._parts:
            return
        text = "".join(self._parts) + (_CUT_MARK if self._size > _LONGEST_TEXT else "")
        self._parts, self._size = [], 0
        self._last_text = text
        yield AgentEvent(EventKind.MESSAGE, text, {}, self._raw)

    def _goes_on(self) -> None:
        """The model answers: what went wrong before is past."""
        self._error = self._retried = ""

    def _retry(self, line: bytes) -> list[AgentEvent]:
        text = line.decode("utf-8", "replace")
        found = _RETRY.match(text)
        if found is None:
            return []
        self._retried = text
        return [AgentEvent(EventKind.RETRY, text[:_LONGEST_RETRY], {"attempt": int(found[1])}, line)]

    def _judge(self, exit_code: int | None, signal: int | None) -> Cause | None:
        """None for success."""
        ended = exit_verdict(exit_code, signal)
        failed = Cause(ended.reason) if ended and ended.reason else None
        if self._result is None:
            told = cause_of_exit(exit_code, self.stderr.text) if not signal else None
            retried = cause_of_call(self._retried) if self._retried else None
            return told or retried or failed or Cause(Failure.NO_RESULT)
        if self._result.get("status") == "success":
            if failed or not self._error:
                return failed
            return cause_of_call(self._error) or Cause(Failure.AGENT)
        return cause_of_call(self._words(), exit_code) or Cause(Failure.AGENT)

    def _words(self) -> str:
        """Of the error in a result, else those told before it."""
        error = mapping_of((self._result or {}).get("error"))
        return text_of(error.get("message")) or self._error or text_of(error.get("type"))

    def _why(self, exit_code: int | None, signal: int | None) -> str:
        if self._result is not None and (words := self._words()):
            return plain_words(words)
        ended = exit_verdict(exit_code, signal)
        if self._result is None:
            if self._retried and not exit_code:
                return plain_words(self._retried)
            if exit_code and (words := first_words(self.stderr.text)):
                return words
        return ended.message if ended else "it gave no result"


def _pick(said: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: said[key] for key in keys if said.get(key) is not None}


def _usage(result: dict[str, Any]) -> Usage:
    """Of all models together, named for the one that was used most. What was thought counts in the total only; the
    program tells no cost, and of a run that reached no model no tokens."""
    stats = mapping_of(result.get("stats"))
    tokens_in, tokens_out = count_of(stats.get("input_tokens")), count_of(stats.get("output_tokens"))
    if tokens_in is None or tokens_out is None or not mapping_of(stats.get("models")):
        return Usage()
    total = count_of(stats.get("total_tokens")) or 0
    models = {name: count_of(mapping_of(one).get("total_tokens")) or 0 for name, one in stats["models"].items()}
    return Usage(
        tokens_in,
        max(tokens_out, total - tokens_in),
        source=Source.REPORTED,
        tokens_cached=count_of(stats.get("cached")),
        model=max(models, key=lambda name: models[name]),
    )

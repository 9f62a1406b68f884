"""Reading Claude Code's `stream-json` output: what it says, and whether it went well.

Facts it rests on, seen with 2.1: one `assistant` line per content block, the same message id repeated, so usage is
taken from the `result` lines only; an API failure has subtype `success` with `is_error`; an interrupted run exits 0;
SIGTERM leaves no result at all; wrong flags and a session in use are told on stderr only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from providers.base import AgentEvent, EventKind, Failure, Source, Usage, Verdict
from providers.claude_limits import reset_of, tells_of_limit, wait_told
from providers.parsing import JsonLinesParser, count_of, exit_verdict, mapping_of, number_of, text_of

# what the API answered -> (reason, infrastructure). 5xx that are not listed are overloads of some kind.
_BY_STATUS = {
    400: ("api-error", False),
    401: ("not-logged-in", False),
    403: ("not-logged-in", False),
    404: ("bad-model", False),
    413: ("api-error", False),
    429: ("rate-limit", True),
    529: ("overloaded", True),
}
_BY_ERROR = {
    "authentication_failed": ("not-logged-in", False),
    "oauth_org_not_allowed": ("not-logged-in", False),
    "billing_error": ("billing", False),
    "model_not_found": ("bad-model", False),
    "invalid_request": ("api-error", False),
    "rate_limit": ("rate-limit", True),
    "overloaded": ("overloaded", True),
    "connection_failed": ("connection", True),
    "usage_limit_reached": ("usage-limit", True),
}
_BEGUN_ANEW = ("unknown-session",)  # the next attempt begins a conversation of its own: no retry is used up
_OF_THE_ACCOUNT = ("not-logged-in", "billing", "usage-limit")
_BY_TERMINAL = {"aborted_streaming": "cancelled", "aborted_tools": "cancelled", "budget_exhausted": "budget"}
_BY_SUBTYPE = {"error_max_budget_usd": "budget", "error_max_turns": "max-turns"}
# what only stderr (or `errors`) tells
_BY_WORDS = (
    ("No conversation found", "unknown-session"),
    ("is already in use", "session-in-use"),
    ("unknown option", "bad-flag"),
    ("argument missing", "bad-flag"),
    ("Input must be provided", "bad-flag"),
    ("cannot be used with root", "bad-flag"),
    ("Invalid API key", "not-logged-in"),
    ("/login", "not-logged-in"),
)


class ClaudeParser(JsonLinesParser):
    """One attempt's output. With several results (one per turn) the last one counts."""

    def __init__(self) -> None:
        super().__init__()
        self._session = ""
        self._result: dict[str, Any] | None = None
        self._usage: Usage | None = None  # of all turns so far
        self._api_error: dict[str, Any] = {}  # the synthetic assistant line that tells of a failed call
        self._last_text = ""
        self._interrupted = False
        self._patched = False  # it asked the model to go on where a stream was cut
        self._limit: dict[str, Any] = {}  # the account's, as last told
        self._wait: int | None = None  # ms, as last asked for by the service

    @property
    def usage(self) -> Usage:
        """Of all turns so far."""
        return self._usage or Usage()

    def on_object(self, said: dict[str, Any], raw: bytes) -> Iterator[AgentEvent]:
        match said.get("type"):
            case "system":
                yield self._system(said, raw)
            case "assistant":
                yield from self._assistant(said, raw)
            case "user":
                yield from self._user(said, raw)
            case "stream_event":
                yield from _partial(mapping_of(said.get("event")), raw)
            case "control_request":
                yield self._asked(said, raw)
            case "rate_limit_event":
                self._limit = mapping_of(said.get("rate_limit_info"))
                data = {"type": "rate_limit_event", **_pick(self._limit, ("status", "resetsAt", "rateLimitType"))}
                yield AgentEvent(EventKind.UNKNOWN, "", data, raw)
            case "result":
                self._result = said
                usage = _usage(said)
                incremental = "model_usage_since_last_result" in said
                self._usage = _add(self._usage, usage) if incremental else usage
                data = {"tokens_in": usage.tokens_in, "tokens_out": usage.tokens_out, "cost_usd": usage.cost_usd}
                yield AgentEvent(EventKind.USAGE, "", data, raw)
                text = text_of(said.get("result")) or "; ".join(_errors(said))
                yield AgentEvent(
                    EventKind.RESULT, text, {"ok": said.get("is_error") is False, **_pick(said, _RESULT)}, raw
                )
            case _:
                yield AgentEvent(EventKind.UNKNOWN, "", {"type": said.get("type")}, raw)

    def _system(self, said: dict[str, Any], raw: bytes) -> AgentEvent:
        match said.get("subtype"):
            case "init":  # only here: the id on the result of an unknown session is no conversation
                self._session = text_of(said.get("session_id"))
                self._result = None  # another turn: what the one before came to no longer counts
                data = {"session": self._session, **_pick(said, ("model", "permissionMode", "claude_code_version"))}
                return AgentEvent(EventKind.INIT, "", data, raw)
            case "api_retry":
                self._wait = wait_told(said) or self._wait
                text = f"attempt {said.get('attempt')} of {said.get('max_retries')}: {said.get('error')}"
                return AgentEvent(EventKind.RETRY, text, _pick(said, ("error", "error_status", "retry_delay_ms")), raw)
            case "permission_denied":
                # nobody can be asked in this mode: told, not waited for
                data = {"denied": True, **_pick(said, ("tool_name", "tool_use_id"))}
                return AgentEvent(EventKind.UNKNOWN, text_of(said.get("message")), data, raw)
            case other:
                return AgentEvent(EventKind.UNKNOWN, "", {"type": "system", "subtype": other}, raw)

    def _assistant(self, said: dict[str, Any], raw: bytes) -> Iterator[AgentEvent]:
        if said.get("is_api_error_message") is True:
            self._api_error = said
        if said.get("aborted") is True:
            self._interrupted = True
        nested = {"parent": said["parent_tool_use_id"]} if said.get("parent_tool_use_id") else {}
        for block in _blocks(said):
            match block.get("type"):
                case "text":
                    text = text_of(block.get("text"))
                    if not nested and not self._api_error:
                        self._last_text = text
                    yield AgentEvent(EventKind.MESSAGE, text, nested, raw)
                case "thinking":
                    yield AgentEvent(EventKind.THINKING, text_of(block.get("thinking")), nested, raw)
                case "tool_use":
                    data = {**_pick(block, ("id", "name", "input")), **nested}
                    yield AgentEvent(EventKind.TOOL_USE, text_of(block.get("name")), data, raw)
                case other:
                    yield AgentEvent(EventKind.UNKNOWN, "", {"type": "assistant", "block": other, **nested}, raw)

    def _user(self, said: dict[str, Any], raw: bytes) -> Iterator[AgentEvent]:
        if said.get("isSynthetic") is True:
            self._patched = True
        for block in _blocks(said):
            if block.get("type") == "tool_result":
                data = {"id": block.get("tool_use_id"), "ok": block.get("is_error") is not True}
                yield AgentEvent(EventKind.TOOL_RESULT, _flat(block.get("content")), data, raw)
                continue
            text = text_of(block.get("text"))
            if text.startswith("[Request interrupted by user"):
                self._interrupted = True
            yield AgentEvent(EventKind.UNKNOWN, text, {"type": "user"}, raw)

    def _asked(self, said: dict[str, Any], raw: bytes) -> AgentEvent:
        request = mapping_of(said.get("request"))
        data = {"id": said.get("request_id"), **_pick(request, ("subtype", "tool_name", "input"))}
        if request.get("subtype") != "can_use_tool":
            return AgentEvent(EventKind.UNKNOWN, "", data, raw)
        text = text_of(request.get("description")) or text_of(request.get("tool_name"))
        return AgentEvent(EventKind.NEEDS_USER, text, {"kind": "permission", **data}, raw)

    def verdict(self, exit_code: int | None, signal: int | None) -> Verdict:
        reason, infrastructure = self._judge(exit_code, signal)
        said = self._result or {}
        text = text_of(said.get("result"))
        return Verdict(
            ok=not reason,
            reason=Failure(reason) if reason else "",
            message="" if not reason else self._message(reason, text, exit_code, signal),
            output=(text or self._last_text) if not reason else None,
            usage=self.usage,
            session=self._session,
            infrastructure=infrastructure,
            until=self._reset(text) if reason == "usage-limit" else None,
            after_ms=self._wait if reason in ("rate-limit", "overloaded") else None,
            account=reason in _OF_THE_ACCOUNT,
        )

    def _reset(self, text: str) -> int | None:
        info = mapping_of(self._api_error.get("api_error_params")).get("rate_limit_info") or self._limit
        return reset_of(info, text, text_of(self._api_error.get("timestamp")))

    def _judge(self, exit_code: int | None, signal: int | None) -> tuple[str, bool]:
        """(reason, infrastructure); ("", False) for success."""
        said = self._result
        if said is None:
            return self._judge_unfinished(exit_code, signal)
        if said.get("is_error") is False and said.get("subtype") == "success":
            if exit_code == 0 and not signal:
                return "", False
            ended = exit_verdict(exit_code, signal)
            return (ended.reason if ended else "exit"), False
        terminal = text_of(said.get("terminal_reason"))
        known = _BY_TERMINAL.get(terminal) or _BY_SUBTYPE.get(text_of(said.get("subtype")))
        if known:
            return known, False
        if told := _by_words(" ".join(_errors(said)) + " " + self.stderr.text):
            return told, told in _BEGUN_ANEW
        if self._interrupted:
            return "cancelled", False
        return self._judge_api(said) or ("agent", False)

    def _judge_api(self, result: dict[str, Any]) -> tuple[str, bool] | None:
        words = text_of(result.get("result"))
        of_the_call = self._api_error or result.get("terminal_reason") in (None, "api_error")
        if of_the_call and tells_of_limit(words):
            return "usage-limit", True
        for said in (result, self._api_error):
            for key in ("api_error", "error"):
                if found := _BY_ERROR.get(text_of(said.get(key))):
                    lost = self._patched or " lost" in words  # after the answer had begun
                    return ("cut-stream", True) if lost and found[0] == "connection" else found
            status = count_of(said.get("api_error_status"))
            if status is not None:
                return _BY_STATUS.get(status) or (("overloaded", True) if status >= 500 else ("api-error", False))
        if self._api_error or result.get("terminal_reason") == "api_error":
            return "api-error", text_of(self._api_error.get("error")) == "server_error"
        return None

    def _judge_unfinished(self, exit_code: int | None, signal: int | None) -> tuple[str, bool]:
        if told := _by_words(self.stderr.text):
            return told, told in _BEGUN_ANEW
        if signal or (exit_code is not None and exit_code in (129, 130, 137, 143)):
            return "signal", False
        if self._interrupted:
            return "cancelled", False
        if exit_code:
            return "exit", False
        return "no-result", False

    def _message(self, reason: str, text: str, exit_code: int | None, signal: int | None) -> str:
        errors = [one for one in _errors(self._result or {}) if not one.startswith("[")]
        if told := text or "; ".join(errors) or self.stderr.last_line:
            return told
        if reason == "cancelled":
            return "it was interrupted"
        ended = exit_verdict(exit_code, signal)
        return ended.message if ended else "it gave no result"


_RESULT = ("subtype", "terminal_reason", "api_error_status", "num_turns", "duration_ms", "total_cost_usd")


def _pick(said: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: said[key] for key in keys if said.get(key) is not None}


def _blocks(said: dict[str, Any]) -> list[dict[str, Any]]:
    content = mapping_of(said.get("message")).get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def _flat(content: object) -> str:
    """A tool's result: text, or blocks of which the texts count."""
    if isinstance(content, list):
        return "\n".join(text_of(mapping_of(block).get("text")) for block in content)
    return text_of(content)


def _partial(event: dict[str, Any], raw: bytes) -> Iterator[AgentEvent]:
    delta = mapping_of(event.get("delta"))
    match delta.get("type"):
        case "text_delta":
            yield AgentEvent(EventKind.DELTA, text_of(delta.get("text")), {}, raw)
        case "thinking_delta":
            yield AgentEvent(EventKind.DELTA, text_of(delta.get("thinking")), {"thinking": True}, raw)
        case _:
            return  # frames around the deltas; the whole blocks follow as `assistant` lines


def _errors(said: dict[str, Any]) -> list[str]:
    errors = said.get("errors")
    return [text_of(one) for one in errors if text_of(one)] if isinstance(errors, list) else []


def _by_words(text: str) -> str:
    return next((reason for words, reason in _BY_WORDS if words in text), "")


def _usage(result: dict[str, Any]) -> Usage:
    """What this result adds. Input counts everything the model read, also what came from a cache; the cost is the
    program's own sum of list prices. `total_cost_usd` goes on counting when a conversation is resumed, `usage` leaves
    out what was interrupted: both are second best."""
    if "model_usage_since_last_result" in result:
        by_model = mapping_of(result["model_usage_since_last_result"])
        models = [mapping_of(one) for one in by_model.values()]
        if not models:
            return Usage(0, 0, 0.0, Source.REPORTED)
        tokens_in = [_sum(one, "inputTokens", "cacheCreationInputTokens", "cacheReadInputTokens") for one in models]
        tokens_out = [count_of(one.get("outputTokens")) for one in models]
        costs = [cost for one in models if (cost := number_of(one.get("costUSD"))) is not None]
        cached = _total([count_of(one.get("cacheReadInputTokens")) for one in models])
        busiest = max(zip(tokens_in, by_model, strict=True), key=lambda one: one[0] or 0)[1]  # others write titles
        cost = sum(costs) if costs else None
        return Usage(_total(tokens_in), _total(tokens_out), cost, Source.REPORTED, cached, busiest)
    said = mapping_of(result.get("usage"))
    return Usage(
        _sum(said, "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"),
        count_of(said.get("output_tokens")),
        number_of(result.get("total_cost_usd")),
        Source.REPORTED,
        count_of(said.get("cache_read_input_tokens")),
    )


def _add(one: Usage | None, more: Usage) -> Usage:
    if one is None:
        return more
    costs = [cost for cost in (one.cost_usd, more.cost_usd) if cost is not None]
    return Usage(
        _total([one.tokens_in, more.tokens_in]),
        _total([one.tokens_out, more.tokens_out]),
        sum(costs) if costs else None,
        Source.REPORTED,
        _total([one.tokens_cached, more.tokens_cached]),
        more.model or one.model,
    )


def _sum(said: dict[str, Any], first: str, *more: str) -> int | None:
    """None unless the first is there."""
    known = count_of(said.get(first))
    return None if known is None else known + sum(count_of(said.get(key)) or 0 for key in more)


def _total(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None

"""opencode: what is launched, and what is made of what it prints."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lite.rules.limits import Count
from providers.base import AgentEvent, EventKind, Failure, Provider, Request, Source, Usage, Verdict
from providers.errors import InvalidRequest
from providers.opencode import OpenCodeProvider
from providers.parsing import MAX_LINE, read_json
from tests.contracts.provider import (
    ProviderContract,
    Transcript,
    check_transcript,
    replay,
    transcripts,
    unknown_events,
)

FOLDER = Path(__file__).parent / "transcripts" / "opencode"
CASES = transcripts(FOLDER)
ASK = Request(task="t1", attempt=1, mode="headless", prompt="Say hello", cwd="/project")
SESSION = "ses_01AbCdEf"


class TestContract(ProviderContract):
    @pytest.fixture
    def provider(self) -> Provider:
        return OpenCodeProvider()

    @pytest.fixture
    def request_(self) -> Request:
        return ASK


def transcript(name: str) -> Transcript:
    return next(case for case in CASES if case.name == name)


def line(kind: str, **more: Any) -> bytes:
    return json.dumps({"type": kind, "timestamp": 1, "sessionID": SESSION, **more}).encode() + b"\n"


def finish(reason: str, **more: Any) -> bytes:
    return line("step_finish", part={"type": "step-finish", "reason": reason, **more})


START = line("step_start", part={})


def judge(out: bytes, err: bytes = b"", exit_code: int | None = 0, signal: int | None = None) -> Verdict:
    return replay(OpenCodeProvider().parser(ASK), [out], err, exit_code, signal)[1]


# transcripts


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_a_transcript_reads_the_same_however_it_is_cut(case: Transcript) -> None:
    check_transcript(OpenCodeProvider(), ASK, case)


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_when_it_may_go_better_and_who_must_act(case: Transcript) -> None:
    expected = case.expected
    verdict = judge(case.out, case.err, expected["exit_code"], expected["signal"])
    assert verdict.after_ms == expected.get("after_ms")
    assert verdict.account == expected.get("account", False)


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_stderr_may_be_cut_anywhere_too(case: Transcript) -> None:
    expected = case.expected
    whole = OpenCodeProvider().parser(ASK)
    events = [*whole.feed("err", case.err), *whole.feed("out", case.out)]
    verdict = whole.end(expected["exit_code"], expected["signal"])
    for size in (1, 7, 1000):
        parts = [case.err[at : at + size] for at in range(0, len(case.err), size)]
        parser = OpenCodeProvider().parser(ASK)
        got = [event for part in parts for event in parser.feed("err", part)]
        got += parser.feed("out", case.out)
        assert got == events
        assert parser.end(expected["exit_code"], expected["signal"]) == verdict


@pytest.mark.parametrize("case", [case for case in CASES if case.expected["ok"]], ids=repr)
def test_a_truncated_success_is_no_success(case: Transcript) -> None:
    for at in case.cuts(every_below=2048):
        kept = case.out[:at]
        if judge(kept).ok:
            whole = [said for one in kept.splitlines() if (said := read_json(one)) is not None]
            assert whole[-1]["type"] == "step_finish", f"success though cut at {at}"
            assert whole[-1]["part"]["reason"] == "stop", f"success though cut at {at}"


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_success_needs_exit_0_and_no_signal(case: Transcript) -> None:
    for exit_code, signal in ((1, None), (None, 9), (143, None), (None, None)):
        verdict = judge(case.out, case.err, exit_code, signal)
        assert not verdict.ok
        assert verdict.reason
        assert verdict.message


def test_stderr_between_the_lines_changes_nothing() -> None:
    case = transcript("tool")
    quiet, noisy = OpenCodeProvider().parser(ASK), OpenCodeProvider().parser(ASK)
    events: list[AgentEvent] = []
    more: list[AgentEvent] = []
    for one in case.out.splitlines(keepends=True):
        events += quiet.feed("out", one)
        half = len(one) // 2
        more += noisy.feed("out", one[:half])
        assert not noisy.feed("err", b'warning: {"type":"error"}\n' * 3000)
        more += noisy.feed("out", one[half:])
    assert more == events
    assert noisy.end(0, None) == quiet.end(0, None)


def test_what_is_unknown_or_malformed_is_told_and_passed_over() -> None:
    case = transcript("tool")
    strange = b'{"type":"hologram","x":1}\n{"x": 5}\nnot json at all\n{"cut": \n[1,2]\n'
    first, rest = case.out.split(b"\n", 1)
    parser = OpenCodeProvider().parser(ASK)
    events = [*parser.feed("out", first + b"\n" + strange), *parser.feed("out", rest)]
    assert len(unknown_events(events)) == 5
    assert [event.data.get("malformed") for event in unknown_events(events)[2:]] == [True] * 3
    assert all(event.raw for event in events)
    assert parser.end(0, None).ok


# hostile input

SHAPES: list[Any] = [
    None, True, 7, -1, 1.5, 10**400, "x", "", "stop", "unknown", [], {}, [{}], {"message": 7}, {"error": {"type": []}},
]  # fmt: skip
EVENT = {
    "type": "error",
    "timestamp": 1,
    "sessionID": SESSION,
    "part": {
        "id": "p",
        "tool": "bash",
        "callID": "c",
        "text": "t",
        "reason": "stop",
        "synthetic": False,
        "cost": 0.5,
        "tokens": {"input": 1, "output": 2, "reasoning": 3, "cache": {"read": 4, "write": 5}},
        "state": {"status": "completed", "input": {"a": 1}, "output": "o", "error": "e", "metadata": {"exit": 0}},
    },
    "error": {
        "name": "APIError",
        "data": {
            "message": "m",
            "statusCode": 429,
            "isRetryable": True,
            "responseBody": '{"error": {"type": "rate_limit"}}',
            "responseHeaders": {"retry-after": "5", "retry-after-ms": "5000"},
        },
    },
}


def paths(value: Any, at: tuple[str, ...] = ()) -> Sequence[tuple[str, ...]]:
    if not isinstance(value, dict):
        return [at]
    return [*([at] if at else []), *(path for key, one in value.items() for path in paths(one, (*at, key)))]


def with_at(value: Any, path: tuple[str, ...], shape: Any) -> Any:
    if not path:
        return shape
    return {**value, path[0]: with_at(value[path[0]], path[1:], shape)}


@pytest.mark.parametrize("kind", ["step_start", "step_finish", "text", "reasoning", "tool_use", "error", "new"])
def test_any_shape_at_any_field_is_taken(kind: str) -> None:
    for path, shape in itertools.product(paths(EVENT), SHAPES):
        said = with_at(EVENT | {"type": kind}, path, shape)
        for name in ("APIError", "UnknownError", "ProviderAuthError"):
            if isinstance(said["error"], dict) and path != ("error", "name"):
                said["error"]["name"] = name
            parser = OpenCodeProvider().parser(ASK)
            for event in parser.feed("out", json.dumps(said).encode() + b"\n"):
                json.dumps(event.data, allow_nan=False)
                event.text.encode()
            verdict = parser.end(1, None)
            assert not verdict.ok
            assert verdict.reason in set(Failure)
            assert (verdict.usage.tokens_in or 0) < 1 << 60


def test_sums_that_leave_the_numbers_are_not_told() -> None:
    step = START + finish("tool-calls", cost=1.7e308, tokens={"input": 1, "output": 1})
    usage = judge(step * 3).usage
    assert usage.cost_usd is None or usage.cost_usd < 1.8e308
    assert usage.tokens_in == 3


@pytest.mark.parametrize(
    "noise",
    [
        b'timestamp=1 level=ERROR message="stream error" error.error="' + b"\\" * 100_001 + b"\n",
        b'timestamp=1 level=ERROR message="stream error" error="' + b'a\\"' * 60_000 + b"\n",
        b"timestamp=" + b"a=" * 300_000 + b" level=ERROR\n",
        b"\x1b[" * 200_000 + b"\n",
        b"timestamp=1 level=ERROR message=failed error=\n",
        b"permission requested:\xff\n",
    ],
)
def test_a_strange_log_is_survived_in_linear_time(noise: bytes) -> None:
    parser = OpenCodeProvider().parser(ASK)
    begun = time.process_time()
    parser.feed("err", noise * 5)
    assert time.process_time() - begun < 2
    assert not parser.end(1, None).ok


def test_a_50_mb_line_is_linear_marked_and_survived() -> None:
    case = transcript("tool")
    parser = OpenCodeProvider().parser(ASK)
    begun = time.process_time()
    events = [*parser.feed("out", b'{"type":"text","part":{"text":"')]
    chunk = b"y" * 65536
    for _ in range(800):
        events += parser.feed("out", chunk)
    events += parser.feed("out", b'"}}\n' + case.out)
    assert time.process_time() - begun < 5, "quadratic"
    assert events[0].kind is EventKind.UNKNOWN
    assert events[0].data["skipped_bytes"] > MAX_LINE
    assert len(events[0].raw) < 1000
    assert parser.end(0, None).ok


def test_a_session_id_that_is_none_is_not_kept() -> None:
    for strange in ("../../x", "ses_" + "a" * 5000, "", "ses_\n", 5):
        out = json.dumps({"type": "step_start", "sessionID": strange, "part": {}}).encode() + b"\n"
        assert judge(out).session == ""


# verdicts


def test_stop_counts_only_as_the_last_word() -> None:
    done = START + finish("stop")
    assert judge(done).ok
    assert not judge(done + START).ok
    assert not judge(done + line("error", error={"name": "UnknownError", "data": {"message": "no"}})).ok
    assert judge(START + finish("tool-calls") + done).ok
    for reason in ("tool-calls", "length", "unknown", "other", "", "content-filter"):
        assert not judge(START + finish(reason)).ok, reason


def test_output_is_the_text_of_the_last_step_that_had_any() -> None:
    def text(words: str, **more: Any) -> bytes:
        return line("text", part={"text": words, **more})

    first = START + text("Let me look.") + finish("tool-calls")
    assert judge(first + START + text("One.") + text("Two.") + finish("stop")).output == "One.\nTwo."
    assert judge(first + START + finish("stop")).output == "Let me look."
    assert judge(first + START + finish("stop") + text("Late.")).output == "Late."
    assert judge(START + text("Go on!", synthetic=True) + finish("stop")).output == ""


def test_usage_is_the_sum_of_the_steps_with_what_came_from_a_cache_and_what_was_thought() -> None:
    tokens = {"input": 800, "output": 18, "reasoning": 7, "cache": {"read": 100, "write": 3}}
    step = START + finish("tool-calls", tokens=tokens, cost=0.25)
    usage = judge(step + step).usage
    assert (usage.tokens_in, usage.tokens_out, usage.cost_usd) == (1806, 50, 0.5)
    assert usage.source is Source.REPORTED
    assert judge(START).usage.source is Source.UNKNOWN


def test_a_zero_that_means_nobody_knows_is_not_reported() -> None:
    nothing = {"input": 0, "output": 0, "reasoning": 0, "cache": {"read": 0, "write": 0}}
    cut = START + finish("unknown", tokens=nothing, cost=0)
    assert judge(cut).usage == Usage()
    unpriced = START + finish("stop", tokens={"input": 5, "output": 1}, cost=0)
    assert judge(cut + unpriced).usage == Usage(5, 1, None, Source.REPORTED)


def test_every_number_told_live_is_the_sum_so_far() -> None:
    step = START + finish("tool-calls", tokens={"input": 10, "output": 1}, cost=1)
    events = OpenCodeProvider().parser(ASK).feed("out", step * 2)
    told = [event.data["tokens_in"] for event in events if event.kind is EventKind.USAGE]
    assert told == [10, 20]


def test_a_tool_is_told_with_how_it_went() -> None:
    def ok(case: str) -> list[bool]:
        events = OpenCodeProvider().parser(ASK).feed("out", transcript(case).out)
        return [event.data["ok"] for event in events if event.kind is EventKind.TOOL_RESULT]

    assert ok("tool") == [True]
    assert ok("two-tools") == [True, True]
    assert ok("tool-fails") == ok("file-missing") == ok("no-such-tool") == ok("rule-denies") == [False]
    events = OpenCodeProvider().parser(ASK).feed("out", transcript("tool-fails").out)
    (result,) = [event for event in events if event.kind is EventKind.TOOL_RESULT]
    assert result.data["exit"] == 4
    (use,) = [event for event in events if event.kind is EventKind.TOOL_USE]
    assert use.data["id"] == result.data["id"]
    assert use.data["input"]["command"].startswith("echo")


def test_going_round_in_circles_is_told_while_it_does() -> None:
    """One repeat a cut answer, so that a limit can end it; what used a tool came to something."""
    cut = START + finish("unknown")
    events = OpenCodeProvider().parser(ASK).feed("out", cut * 3)
    retries = [event.data["in_a_row"] for event in events if event.kind is EventKind.RETRY]
    assert retries == [1, 2, 3]
    tool = line("tool_use", part={"tool": "bash", "state": {"status": "completed"}})
    events = OpenCodeProvider().parser(ASK).feed("out", (START + tool + finish("unknown")) * 3)
    assert not [event for event in events if event.kind is EventKind.RETRY]
    broken = OpenCodeProvider().parser(ASK).feed("out", START * 3)
    assert [event.data["in_a_row"] for event in broken if event.kind is EventKind.RETRY] == [1, 2]


def test_a_cut_answer_said_again_and_again_comes_to_the_limit() -> None:
    """What a cut step said is no progress, whatever it said; of a step that ends well nothing is missing."""
    said = [line("text", part={"text": f"It begins {n}"}) for n in range(30)]
    circles = b"".join(START + one + finish("unknown") for one in said)
    count = Count(OpenCodeProvider().capabilities().limits)
    events = OpenCodeProvider().parser(ASK).feed("out", circles)
    assert any(count.over(event) for event in events)
    good = START + line("reasoning", part={"text": "So"}) + line("text", part={"text": "Done"}) + finish("stop")
    events = OpenCodeProvider().parser(ASK).feed("out", START + said[0] + finish("unknown") + good)
    kinds = [event.kind.value for event in events]
    assert kinds == ["init", "message", "retry", "thinking", "message"]
    assert judge(circles + good).output == "Done"


def test_ended_while_it_went_round_in_circles_is_a_cut_stream_and_else_a_signal() -> None:
    cut = START + finish("unknown")
    verdict = judge(cut * 5, exit_code=None, signal=15)
    assert (verdict.reason, verdict.infrastructure) == (Failure.CUT_STREAM, True)
    assert judge(cut, exit_code=None, signal=15).reason == Failure.SIGNAL
    recovered = cut * 5 + START + finish("tool-calls")
    assert judge(recovered, exit_code=None, signal=15).reason == Failure.SIGNAL
    assert judge(cut).reason == Failure.CUT_STREAM
    assert judge(cut * 5 + START + finish("stop")).ok


def failed_call(words: str, *, small: bool = False) -> bytes:
    flag = str(small).lower()
    return f'timestamp=1 level=ERROR run=1 message="stream error" small={flag} error.error="{words}"\n'.encode()


def test_a_failed_call_it_repeats_is_told_and_explains_an_end_by_force() -> None:
    parser = OpenCodeProvider().parser(ASK)
    (event,) = parser.feed("err", failed_call("AI_APICallError: Too many requests, 429"))
    assert (event.kind, event.text) == (EventKind.RETRY, "Too many requests, 429")
    verdict = parser.end(None, 15)
    assert (verdict.reason, verdict.infrastructure) == (Failure.RATE_LIMIT, True)
    assert verdict.message == "Too many requests, 429"


def test_a_failed_call_that_went_well_again_explains_nothing() -> None:
    parser = OpenCodeProvider().parser(ASK)
    parser.feed("err", failed_call("Overloaded"))
    parser.feed("out", START + finish("tool-calls"))
    assert parser.end(None, 15).reason == Failure.SIGNAL


def test_a_failed_call_for_a_title_is_nobodys_failure() -> None:
    parser = OpenCodeProvider().parser(ASK)
    assert not parser.feed("err", failed_call("Overloaded", small=True))
    parser.feed("out", START + finish("stop"))
    assert parser.end(0, None).ok


def api_error(**data: Any) -> bytes:
    return line("error", error={"name": "APIError", "data": {"message": "so it is", **data}})


@pytest.mark.parametrize(
    ("data", "reason", "infrastructure", "account"),
    [
        ({"statusCode": 400}, "api-error", False, False),
        ({"statusCode": 401}, "not-logged-in", False, True),
        ({"statusCode": 402}, "billing", False, True),
        ({"statusCode": 403}, "not-logged-in", False, False),
        ({"statusCode": 404}, "bad-model", False, False),
        ({"statusCode": 429}, "rate-limit", True, False),
        ({"statusCode": 429, "responseBody": '{"error": {"code": "insufficient_quota"}}'}, "billing", False, True),
        ({"statusCode": 429, "responseBody": '{"type": "FreeUsageLimitError"}'}, "usage-limit", True, True),
        ({"statusCode": 500}, "overloaded", True, False),
        ({"statusCode": 529}, "overloaded", True, False),
        ({"isRetryable": True, "message": "Cannot connect to API: x"}, "connection", True, False),
        ({"isRetryable": True, "message": "The socket connection was closed unexpectedly"}, "cut-stream", True, False),
        ({"isRetryable": True}, "connection", True, False),
        ({}, "api-error", False, False),
    ],
)
def test_a_failed_call_is_named(data: dict[str, Any], reason: str, infrastructure: bool, account: bool) -> None:
    verdict = judge(api_error(**data), exit_code=1)
    assert (verdict.reason, verdict.infrastructure, verdict.account) == (reason, infrastructure, account)
    assert verdict.message == data.get("message", "so it is")


@pytest.mark.parametrize(
    ("headers", "until", "after_ms"),
    [
        ({"retry-after": "30"}, None, 30_000),
        ({"retry-after": "1.5"}, None, 1500),
        ({"retry-after": "30", "retry-after-ms": "250"}, None, 250),
        ({"retry-after": "999999999"}, None, 30 * 86_400_000),
        ({"retry-after": "Thu, 01 Jan 2032 00:00:00 GMT"}, 1_956_528_000_000, None),
        ({"retry-after": "soon"}, None, None),
        ({"retry-after": "-5"}, None, None),
        ({"retry-after": "nan"}, None, None),
        ({"retry-after": 5}, None, None),
        ({}, None, None),
    ],
)
def test_when_it_may_ask_again_is_what_the_endpoint_said(
    headers: dict[str, Any], until: int | None, after_ms: int | None
) -> None:
    verdict = judge(api_error(statusCode=429, responseHeaders=headers), exit_code=1)
    assert (verdict.until, verdict.after_ms) == (until, after_ms)


def test_an_error_within_is_told_in_the_words_of_its_log() -> None:
    out = line("error", error={"name": "UnknownError", "data": {"message": "Unexpected. Check server logs"}})
    err = b'timestamp=1 level=ERROR message=failed ref=e error="ProviderModelNotFoundError: Model not found: a/b."\n'
    verdict = judge(out, err, exit_code=1)
    assert (verdict.reason, verdict.message) == (Failure.BAD_MODEL, "Model not found: a/b.")
    assert judge(out, exit_code=1).reason == Failure.AGENT, "without its log nobody knows"


def test_a_conversation_that_stays_silent_is_explained() -> None:
    parser = OpenCodeProvider().parser(replace(ASK, resume=SESSION))
    assert "directory where it began" in parser.end(None, 15).message


def test_another_agent_than_asked_for_is_no_success() -> None:
    case = transcript("unknown-agent")
    assert judge(case.out).ok
    verdict = judge(case.out, case.err)
    assert (verdict.reason, verdict.message) == (
        Failure.BAD_FLAG,
        'agent "nope" not found. Falling back to default agent',
    )


def test_an_end_torn_off_is_not_the_tasks_failure() -> None:
    """It exits though its output still waits in the pipe: what was said after is lost, with how it went."""
    case = transcript("long")
    torn = judge(case.out[: len(case.out) // 2])
    assert (torn.reason, torn.infrastructure) == (Failure.NO_RESULT, True)
    between = judge(case.out[: case.out.rindex(b"\n", 0, -1) + 1])
    assert (between.reason, between.infrastructure) == (Failure.NO_RESULT, False)
    assert judge(case.out[:-1]).ok, "only the newline is missing"


# launches

RUN = ("opencode", "run", "--format", "json", "--print-logs", "--log-level", "ERROR")
QUIET = {"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"}


def test_headless_reads_the_prompt_from_a_file() -> None:
    launch = OpenCodeProvider().launch(replace(ASK, prompt="--help looks like a flag\n", model="local/echo"))
    assert launch.argv == (*RUN, "--thinking", "--model", "local/echo", "--title", "t1")
    assert launch.env == QUIET
    assert launch.stdio == "pipes"
    assert (launch.stdin, launch.stdin_file) == ("file", "prompt.txt")
    assert launch.files == {"prompt.txt": b"--help looks like a flag\n"}


def test_interactive_gives_the_prompt_as_a_word_that_cannot_be_a_flag() -> None:
    launch = OpenCodeProvider().launch(replace(ASK, mode="interactive", prompt="--help", model="a/b"))
    assert launch.argv == ("opencode", "--model", "a/b", "--prompt=--help")
    assert launch.stdio == "terminal"
    bare = OpenCodeProvider().launch(replace(ASK, mode="interactive", prompt=" "))
    assert bare.argv == ("opencode",)


def test_a_conversation_is_gone_on_with_in_its_directory() -> None:
    asked = replace(ASK, resume=SESSION, options={"fork_session": True, "thinking": False})
    launch = OpenCodeProvider().launch(asked)
    assert launch.argv == (*RUN, "--session", SESSION, "--fork", "--dir", "/project")
    launch = OpenCodeProvider().launch(replace(asked, mode="interactive", prompt=""))
    assert launch.argv == ("opencode", "--session", SESSION, "--fork")


def test_options_become_flags_and_environment() -> None:
    options = {
        "agent": "plan",
        "variant": "high",
        "title": "A title",
        "auto": True,
        "fork_session": True,  # with nothing to fork
        "config": {"permission": {"edit": "ask"}, "é": "\0"},
        "config_file": "/etc/opencode.json",
        "config_dir": "/home/user/.other/",
        "args": ["--pure", "--port", "0"],
    }
    asked = replace(ASK, options=options)
    OpenCodeProvider().validate(asked)
    launch = OpenCodeProvider().launch(asked)
    assert launch.argv == (
        *RUN,
        *("--thinking", "--variant", "high", "--agent", "plan", "--auto", "--title", "A title"),
        *("--pure", "--port", "0"),
    )
    assert launch.env == {
        **QUIET,
        "XDG_CONFIG_HOME": "/home/user/.other/config",
        "XDG_DATA_HOME": "/home/user/.other/data",
        "XDG_STATE_HOME": "/home/user/.other/state",
        "XDG_CACHE_HOME": "/home/user/.other/cache",
        "OPENCODE_CONFIG": "/etc/opencode.json",
        "OPENCODE_CONFIG_CONTENT": '{"permission": {"edit": "ask"}, "\\u00e9": "\\u0000"}',
    }


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (replace(ASK, prompt="  "), "prompt"),
        (replace(ASK, prompt="a\0b"), "prompt"),
        (replace(ASK, model="gpt"), "model"),
        (replace(ASK, model="--x/y"), "model"),
        (replace(ASK, model="a/"), "model"),
        (replace(ASK, resume="latest"), "resume"),
        (replace(ASK, resume="ses_a\n"), "resume"),
        (replace(ASK, resume=SESSION, cwd=""), "cwd"),
        (replace(ASK, options={"agent": "--auto"}), "options.agent"),
        (replace(ASK, options={"agent": ""}), "options.agent"),
        (replace(ASK, options={"variant": 3}), "options.variant"),
        (replace(ASK, options={"title": "-t"}), "options.title"),
        (replace(ASK, options={"auto": "yes"}), "options.auto"),
        (replace(ASK, options={"thinking": 1}), "options.thinking"),
        (replace(ASK, options={"config": "{}"}), "options.config"),
        (replace(ASK, options={"config": {"a": float("nan")}}), "options.config"),
        (replace(ASK, options={"config": {"a": object()}}), "options.config"),
        (replace(ASK, options={"config": nested(100_000)}), "options.config"),
        (replace(ASK, options={"config": {"a": "x" * 200_000}}), "options.config"),
        (replace(ASK, options={"config_dir": "a\0b"}), "options.config_dir"),
        (replace(ASK, options={"args": [7]}), "options.args"),
        (replace(ASK, options={"args": ["\0"]}), "options.args"),
        (replace(ASK, options={"args": "--auto"}), "options.args"),
        (replace(ASK, options={"modle": "x"}), "options.modle"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_launched_is_refused_with_its_field(request_: Request, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        OpenCodeProvider().validate(request_)
    assert refused.value.field == field


def test_nothing_goes_on_for_ever_by_default() -> None:
    limits = OpenCodeProvider().capabilities().limits
    assert limits.idle_ms
    assert limits.steps
    assert limits.retries


@pytest.mark.parametrize(("printed", "version"), [("1.18.33\n", "1.18.33"), ("", ""), ("command not found", "")])
def test_the_version_is_found_in_what_it_printed(printed: str, version: str) -> None:
    assert OpenCodeProvider().version(printed) == version

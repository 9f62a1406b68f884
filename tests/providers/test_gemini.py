"""Gemini CLI: what is launched, and what is made of what it prints."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from providers.base import AgentEvent, EventKind, Failure, Launch, Provider, Request, Source, Verdict
from providers.errors import InvalidRequest
from providers.gemini import GeminiProvider
from providers.gemini_failures import wait_in
from providers.parsing import MAX_LINE
from tests.contracts.provider import (
    ProviderContract,
    Transcript,
    check_transcript,
    check_truncation,
    replay,
    transcripts,
    unknown_events,
)

FOLDER = Path(__file__).parent / "transcripts" / "gemini"
CASES = transcripts(FOLDER)
ASK = Request(task="t", attempt=1, mode="headless", prompt="Say hello", cwd="/project")
UUID = "0abc0000-0000-4000-8000-000000000001"


class TestContract(ProviderContract):
    @pytest.fixture
    def provider(self) -> Provider:
        return GeminiProvider()

    @pytest.fixture
    def request_(self) -> Request:
        return ASK


@pytest.mark.parametrize("transcript", CASES, ids=repr)
def test_a_transcript_reads_the_same_however_it_is_cut(transcript: Transcript) -> None:
    check_transcript(GeminiProvider(), ASK, transcript)


@pytest.mark.parametrize("transcript", CASES, ids=repr)
def test_a_transcript_says_when_it_may_go_better_and_for_whom(transcript: Transcript) -> None:
    verdict = ended(transcript)
    expected = transcript.expected
    assert (verdict.account, verdict.after_ms) == (expected["account"], expected["after_ms"])


@pytest.mark.parametrize("transcript", [case for case in CASES if case.expected["ok"]], ids=repr)
def test_a_truncated_success_is_no_success(transcript: Transcript) -> None:
    check_truncation(GeminiProvider(), ASK, transcript)


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_success_needs_exit_0_and_no_signal(case: Transcript) -> None:
    for exit_code, signal in ((1, None), (None, 9), (143, None), (None, None)):
        _, verdict = replay(GeminiProvider().parser(ASK), [case.out], case.err, exit_code, signal)
        assert not verdict.ok
        assert verdict.reason


def transcript(name: str) -> Transcript:
    return next(case for case in CASES if case.name == name)


def ended(case: Transcript) -> Verdict:
    expected = case.expected
    parser = GeminiProvider().parser(ASK)
    return replay(parser, [case.out], case.err, expected["exit_code"], expected["signal"])[1]


def told(*said: dict[str, Any], err: str = "", exit_code: int | None = 0, signal: int | None = None) -> Verdict:
    out = b"".join(json.dumps(one).encode() + b"\n" for one in said)
    return replay(GeminiProvider().parser(ASK), [out], err.encode(), exit_code, signal)[1]


def test_deltas_become_the_message_they_were_of() -> None:
    case = transcript("tool")
    events = list(GeminiProvider().parser(ASK).feed("out", case.out))
    assert [event.text for event in events if event.kind is EventKind.MESSAGE] == [
        "A greeting is wanted.",
        "The greeting is in place.",
    ]
    kinds = [event.kind for event in events]
    assert kinds.index(EventKind.MESSAGE) == kinds.index(EventKind.TOOL_USE) - 1


def test_a_tool_and_what_came_of_it_belong_together() -> None:
    events = GeminiProvider().parser(ASK).feed("out", transcript("tool-fails").out)
    (use,) = [event for event in events if event.kind is EventKind.TOOL_USE]
    (result,) = [event for event in events if event.kind is EventKind.TOOL_RESULT]
    assert (use.text, use.data["input"]) == ("read_file", {"file_path": "missing.txt"})
    assert use.data["id"] == result.data["id"]
    assert result.data["ok"] is False
    assert result.text == "File not found: /project/missing.txt"


def test_thoughts_count_as_tokens_out_and_there_is_no_cost() -> None:
    case = transcript("thinking")
    stats = json.loads(case.out.splitlines()[-1])["stats"]
    usage = ended(case).usage
    assert usage.tokens_out == stats["total_tokens"] - stats["input_tokens"] > stats["output_tokens"]
    assert (usage.tokens_cached, usage.model, usage.cost_usd) == (stats["cached"], "gemini-2.5-flash", None)
    assert usage.source is Source.REPORTED


def test_usage_is_of_all_models_and_named_for_the_one_used_most() -> None:
    case = transcript("auto-model")
    stats = json.loads(case.out.splitlines()[-1])["stats"]
    usage = ended(case).usage
    assert len(stats["models"]) == 2
    assert usage.tokens_in == sum(one["input_tokens"] for one in stats["models"].values())
    assert usage.model == max(stats["models"], key=lambda name: stats["models"][name]["total_tokens"])


def test_a_run_that_reached_no_model_reports_no_tokens() -> None:
    usage = ended(transcript("loop")).usage
    assert (usage.tokens_in, usage.source) == (None, Source.UNKNOWN)


def test_calls_it_repeats_are_told_once_each_and_counted() -> None:
    case = transcript("rate-limit")
    whole = GeminiProvider().parser(ASK).feed("err", case.err)
    assert [event.data["attempt"] for event in whole] == list(range(1, 10))
    assert {event.kind for event in whole} == {EventKind.RETRY}
    assert whole[0].text.startswith("Attempt 1 failed with status 429.")
    parser = GeminiProvider().parser(ASK)
    cut = [event for at in range(0, len(case.err), 7) for event in parser.feed("err", case.err[at : at + 7])]
    assert cut == list(whole)


@pytest.mark.parametrize(
    ("name", "reason", "after_ms"),
    [
        ("rate-limit", Failure.RATE_LIMIT, None),
        ("retry-in", Failure.RATE_LIMIT, 12_500),
        ("server-error", Failure.OVERLOADED, None),
        ("overloaded", Failure.OVERLOADED, None),
        ("connection-refused", Failure.CONNECTION, None),
    ],
)
@pytest.mark.parametrize("end", [(0, None), (None, 9), (None, 15)])
def test_what_it_was_repeating_when_it_was_ended_is_why_it_failed(
    name: str, reason: Failure, after_ms: int | None, end: tuple[int | None, int | None]
) -> None:
    case = transcript(name)
    begun = b"".join(case.out.splitlines(keepends=True)[:2])
    retrying = b"".join(line for line in case.err.splitlines(keepends=True) if b"Attempt 3" in line)
    parser = GeminiProvider().parser(ASK)
    parser.feed("out", begun)
    parser.feed("err", retrying)
    verdict = parser.end(*end)
    assert (verdict.reason, verdict.infrastructure, verdict.after_ms) == (reason, True, after_ms)
    assert verdict.message


def test_what_was_overcome_is_no_reason() -> None:
    case = transcript("rate-limit")
    parser = GeminiProvider().parser(ASK)
    parser.feed("err", case.err)
    parser.feed("out", transcript("interrupted").out)
    assert parser.end(None, 9).reason == Failure.SIGNAL
    begun = json.dumps({"type": "error", "severity": "error", "message": "fetch failed"}).encode()
    parser = GeminiProvider().parser(ASK)
    parser.feed("out", begun + b"\n" + transcript("tool").out)
    assert parser.end(0, None).ok


def test_what_it_stopped_by_itself_is_no_success() -> None:
    result = {"type": "result", "status": "success"}
    turns = {"type": "error", "severity": "error", "message": "Maximum session turns exceeded"}
    assert told(turns, result).reason == Failure.MAX_TURNS
    warned = {"type": "error", "severity": "warning", "message": "A tool is slow"}
    assert told(warned, result).ok


@pytest.mark.parametrize(
    ("words", "exit_code", "reason", "after_ms"),
    [
        ("Your quota will reset after 8h44m7s. exhausted your capacity", 173, "usage-limit", 31_447_000),
        ("You have exhausted your capacity on this model. Your quota will reset after 53s.", 173, "overloaded", 53_000),
        ("You exceeded your current quota. Please retry in 900.25s.", 173, "usage-limit", 900_250),
        ("Please retry in 350ms.", 173, "rate-limit", 350),
        ('[{"error":{"code":503}}]', 1, "overloaded", None),
        ("in words nobody knows", 152, "connection", None),
        ("in words nobody knows", 7, "agent", None),
        ("Account validation required: a reason", 147, "not-logged-in", None),
        ("This API method requires billing to be enabled", 147, "billing", None),
        ("Requested entity was not found.", 1, "bad-model", None),
        ("Operation cancelled.", 130, "cancelled", None),
        ("terminated", 1, "cut-stream", None),
    ],
)
def test_a_failed_call_is_named_by_its_words_then_by_its_code(
    words: str, exit_code: int, reason: str, after_ms: int | None
) -> None:
    error = {"type": "unknown", "message": f"[API Error: {words}]\nPlease wait and try again later."}
    verdict = told({"type": "result", "status": "error", "error": error}, exit_code=exit_code)
    assert (verdict.reason, verdict.after_ms) == (reason, after_ms)
    assert verdict.message == words


def test_a_wait_is_read_in_every_unit() -> None:
    for text, ms in (("retry in 2h", 7_200_000), ("reset after 0s", 0), ("Retry after 3m", 180_000)):
        assert wait_in(text) == ms
    for text in ("retry in time", "", "retry in 9" + "9" * 5000):
        assert wait_in(text) is None


def test_hostile_values_at_every_field_raise_nothing() -> None:
    shapes: list[Any] = [
        None,
        True,
        -1,
        10**30,
        1.5,
        "x",
        "\ud800",
        [],
        [[]],
        {},
        {"a": {}},
        {"message": [], "models": 3},
    ]
    parsers = [GeminiProvider().parser(ASK) for _ in range(2)]
    fields = ("role", "content", "delta", "tool_name", "tool_id", "parameters", "status", "output", "error", "severity")
    kinds: tuple[Any, ...] = ("init", "message", "tool_use", "tool_result", "error", "result", "hologram", None, [], {})
    for kind, field, shape in product(kinds, (*fields, "message", "stats", "session_id", "model", "type"), shapes):
        for others in ({}, {"role": "assistant", "delta": True}, {"status": "success"}, {"status": "error"}):
            line = json.dumps({"type": kind, **others, field: shape}).encode() + b"\n"
            for event in parsers[0].feed("out", line):
                assert isinstance(event.text, str)
                json.dumps([event.text, event.data], ensure_ascii=False, allow_nan=False).encode()
            one = GeminiProvider().parser(ASK)
            one.feed("out", line)
            for exit_code in (0, 1, 144):
                assert isinstance(one.end(exit_code, None), Verdict)
    for shape in shapes:
        for key in ("total_tokens", "input_tokens", "output_tokens", "cached", "models"):
            stats = {"total_tokens": 3, "input_tokens": 2, "output_tokens": 1, "models": {"m": 1}, key: shape}
            usage = told({"type": "result", "status": "success", "stats": stats}).usage
            assert usage.tokens_out is None or 0 <= usage.tokens_out < 1 << 63
    assert isinstance(parsers[1].end(0, None), Verdict)


def test_hostile_words_are_judged_in_time() -> None:
    for words in ("models/" * 300_000, "{" * 1_000_000 + "}", "retry in " * 200_000, "limit: " * 200_000):
        begun = time.process_time()
        result = {"type": "result", "status": "error", "error": {"message": words}}
        assert not told(result, err="Attempt 1 failed " * 50_000 + "\n", exit_code=1).ok
        assert time.process_time() - begun < 3, words[:20]


def test_a_message_without_end_is_kept_in_bounds() -> None:
    line = json.dumps({"type": "message", "role": "assistant", "delta": True, "content": "y" * (1 << 20)}).encode()
    parser = GeminiProvider().parser(ASK)
    for _ in range(20):
        parser.feed("out", line + b"\n")
    parser.feed("out", b'{"type":"result","status":"success"}\n')
    output = parser.end(0, None).output or ""
    assert len(output) < 9 << 20
    assert output.endswith("[cut: the rest is in the recording]")


def test_a_50_mb_line_is_marked_and_survived() -> None:
    parser = GeminiProvider().parser(ASK)
    events: list[AgentEvent] = []
    for _ in range(800):
        events += parser.feed("out", b"y" * 65536)
    events += parser.feed("out", b"\n" + transcript("tool").out)
    assert events[0].data["skipped_bytes"] > MAX_LINE
    assert len(unknown_events(events)) == 2  # it, and the prompt that is told back
    assert parser.end(0, None).ok


def test_headless_reads_the_prompt_from_a_file() -> None:
    assert GeminiProvider().launch(replace(ASK, prompt="--yolo is a flag\n", model="gemini-2.5-pro")) == Launch(
        argv=("gemini", "--output-format", "stream-json", "--model", "gemini-2.5-pro"),
        env={"GEMINI_CLI_NO_RELAUNCH": "true"},
        stdio="pipes",
        stdin="file",
        stdin_file="prompt.txt",
        files={"prompt.txt": b"--yolo is a flag\n"},
    )


def test_interactive_gives_the_prompt_as_part_of_a_flag() -> None:
    launch = GeminiProvider().launch(replace(ASK, mode="interactive", prompt="--help"))
    assert launch == Launch(
        argv=("gemini", "--prompt-interactive=--help"), env={"GEMINI_CLI_NO_RELAUNCH": "true"}, stdio="terminal"
    )
    assert GeminiProvider().launch(replace(ASK, mode="interactive", prompt=" ")).argv == ("gemini",)


def test_options_become_flags_and_environment() -> None:
    options = {
        "approval_mode": "auto_edit",
        "trust": True,
        "sandbox": True,
        "include_directories": ["/project/docs", "/project/more"],
        "extensions": ["none"],
        "mcp_servers": ["files"],
        "session_id": UUID,
        "config_dir": "/home/user/.other",
        "base_url": "http://gateway.example",
        "args": ["--screen-reader"],
    }
    asked = replace(ASK, options=options)
    GeminiProvider().validate(asked)
    launch = GeminiProvider().launch(asked)
    flags = (
        "--approval-mode auto_edit --sandbox --include-directories /project/docs --include-directories /project/more"
    )
    flags += f" --extensions none --allowed-mcp-server-names files --session-id {UUID} --screen-reader"
    assert launch.argv == ("gemini", "--output-format", "stream-json", *flags.split())
    assert launch.env == {
        "GEMINI_CLI_NO_RELAUNCH": "true",
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
        "GEMINI_CLI_HOME": "/home/user/.other",
        "GOOGLE_GEMINI_BASE_URL": "http://gateway.example",
    }


def test_a_chosen_session_id_is_for_the_first_attempt_and_gives_way_to_resuming() -> None:
    asked = replace(ASK, options={"session_id": UUID})
    assert GeminiProvider().launch(replace(asked, resume=UUID)).argv[-2:] == ("--resume", UUID)
    assert "--session-id" not in GeminiProvider().launch(replace(asked, attempt=2)).argv


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (replace(ASK, prompt="  "), "prompt"),
        (replace(ASK, prompt="a\0b"), "prompt"),
        (replace(ASK, prompt="é" * (4 << 20) + "."), "prompt"),
        (replace(ASK, model="--yolo"), "model"),
        (replace(ASK, resume="latest"), "resume"),
        (replace(ASK, options={"approval_mode": "yes"}), "options.approval_mode"),
        (replace(ASK, options={"approval_mode": True}), "options.approval_mode"),
        (replace(ASK, options={"trust": "true"}), "options.trust"),
        (replace(ASK, options={"session_id": "mine"}), "options.session_id"),
        (replace(ASK, options={"include_directories": "/a"}), "options.include_directories"),
        (replace(ASK, options={"include_directories": ["/a,b"]}), "options.include_directories"),
        (replace(ASK, options={"extensions": ["--yolo"]}), "options.extensions"),
        (replace(ASK, options={"args": ["--debug", 3]}), "options.args"),
        (replace(ASK, options={"config_dir": "a\0"}), "options.config_dir"),
        (replace(ASK, options={"aproval_mode": "plan"}), "options.aproval_mode"),
    ],
)
def test_what_cannot_be_launched_is_refused_with_its_field(request_: Request, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        GeminiProvider().validate(request_)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("printed", "version"), [("0.61.0\n", "0.61.0"), ("", ""), ("noise 1.2.3\n0.62.0-nightly.1\n", "0.62.0-nightly.1")]
)
def test_the_version_is_found_in_what_it_printed(printed: str, version: str) -> None:
    assert GeminiProvider().version(printed) == version


def test_how_it_is_found_out_is_told() -> None:
    told_of = GeminiProvider().capabilities()
    assert (told_of.executable, told_of.version_args) == ("gemini", ("--version",))
    assert "GEMINI_API_KEY" in told_of.login_env
    assert told_of.limits.idle_ms

"""Claude Code: what is launched, and what is made of what it prints."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from providers.base import AgentEvent, EventKind, Failure, Provider, Request, Source
from providers.claude import ClaudeProvider
from providers.errors import InvalidRequest
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

FOLDER = Path(__file__).parent / "transcripts" / "claude"
CASES = transcripts(FOLDER)
ASK = Request(task="t", attempt=1, mode="headless", prompt="Say hello", cwd="/project")
UUID = "0abc0000-0000-4000-8000-000000000001"


class TestContract(ProviderContract):
    @pytest.fixture
    def provider(self) -> Provider:
        return ClaudeProvider()

    @pytest.fixture
    def request_(self) -> Request:
        return ASK


@pytest.mark.parametrize("transcript", CASES, ids=repr)
def test_a_transcript_reads_the_same_however_it_is_cut(transcript: Transcript) -> None:
    check_transcript(ClaudeProvider(), ASK, transcript)


@pytest.mark.parametrize("transcript", [case for case in CASES if case.expected["ok"]], ids=repr)
def test_a_truncated_success_is_no_success(transcript: Transcript) -> None:
    check_truncation(ClaudeProvider(), ASK, transcript)


def transcript(name: str) -> Transcript:
    return next(case for case in CASES if case.name == name)


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_success_needs_exit_0_and_no_signal(case: Transcript) -> None:
    for exit_code, signal in ((1, None), (None, 9), (143, None), (None, None)):
        _, verdict = replay(ClaudeProvider().parser(ASK), [case.out], case.err, exit_code, signal)
        assert not verdict.ok
        assert verdict.reason


def test_stderr_between_the_lines_changes_nothing() -> None:
    case = transcript("tool")
    quiet, noisy = ClaudeProvider().parser(ASK), ClaudeProvider().parser(ASK)
    events: list[AgentEvent] = []
    more: list[AgentEvent] = []
    for line in case.out.splitlines(keepends=True):
        events += quiet.feed("out", line)
        half = len(line) // 2
        more += noisy.feed("out", line[:half])
        assert not noisy.feed("err", b'warning: {"type":"result"}\n' * 3000)
        more += noisy.feed("out", line[half:])
    assert more == events
    assert noisy.end(0, None) == quiet.end(0, None)


def test_what_is_unknown_or_malformed_is_told_and_passed_over() -> None:
    case = transcript("tool")
    strange = b'{"type":"hologram","x":1}\n{"type":"system","subtype":"later"}\nnot json at all\n{"cut": \n[1,2]\n'
    first, rest = case.out.split(b"\n", 1)
    parser = ClaudeProvider().parser(ASK)
    events = [*parser.feed("out", first + b"\n" + strange), *parser.feed("out", rest)]
    assert len(unknown_events(events)) == 5
    assert [event.data.get("malformed") for event in unknown_events(events)[2:]] == [True] * 3
    assert parser.end(0, None).ok


def test_a_50_mb_line_is_linear_marked_and_survived() -> None:
    case = transcript("tool")
    head = b'{"type":"assistant","message":{"content":[{"type":"text","text":"'
    parser = ClaudeProvider().parser(ASK)
    begun = time.process_time()
    events = [*parser.feed("out", head)]
    chunk = b"y" * 65536
    for _ in range(800):
        events += parser.feed("out", chunk)
    events += parser.feed("out", b'"}]}}\n' + case.out)
    assert time.process_time() - begun < 5, "quadratic"
    assert events[0].kind is EventKind.UNKNOWN
    assert events[0].data["skipped_bytes"] > MAX_LINE
    assert len(events[0].raw) < 1000
    assert parser.end(0, None).ok


def test_a_2_mb_message_is_read() -> None:
    text = "z" * (2 << 20)
    line = json.dumps({"type": "assistant", "message": {"content": [{"type": "text", "text": text}]}}).encode()
    parser = ClaudeProvider().parser(ASK)
    events: list[AgentEvent] = []
    for at in range(0, len(line), 65536):
        events += parser.feed("out", line[at : at + 65536])
    events += parser.feed("out", b"\r\n")
    assert [event.text for event in events] == [text]


def test_usage_is_what_this_attempt_added() -> None:
    """`total_cost_usd` of a resumed conversation counts its earlier turns again."""
    case = transcript("resumed")
    _, verdict = replay(ClaudeProvider().parser(ASK), [case.out], b"", 0, None)
    said = json.loads(case.out.splitlines()[-1])
    (model,) = said["model_usage_since_last_result"].values()
    assert verdict.usage.cost_usd == model["costUSD"] < said["total_cost_usd"]
    assert verdict.usage.tokens_out == model["outputTokens"]
    assert verdict.usage.source is Source.REPORTED
    assert (verdict.usage.tokens_cached, verdict.usage.model) == (model["cacheReadInputTokens"], "claude-test-1")


def test_a_failed_call_in_a_resumed_conversation_costs_nothing_more() -> None:
    said = {"type": "result", "is_error": True, "total_cost_usd": 0.7, "model_usage_since_last_result": {}}
    parser = ClaudeProvider().parser(ASK)
    parser.feed("out", json.dumps(said).encode() + b"\n")
    assert parser.end(1, None).usage.cost_usd == 0


def test_the_turns_of_one_attempt_are_summed() -> None:
    case = transcript("two-turns")
    _, verdict = replay(ClaudeProvider().parser(ASK), [case.out], b"", 0, None)
    said = json.loads(case.out.splitlines()[-1])
    assert verdict.usage.cost_usd == pytest.approx(said["total_cost_usd"])


def test_usage_of_a_version_that_does_not_tell_what_was_added() -> None:
    case = transcript("tool")
    *lines, last = case.out.splitlines()
    said = json.loads(last)
    del said["model_usage_since_last_result"]
    parser = ClaudeProvider().parser(ASK)
    parser.feed("out", b"\n".join([*lines, json.dumps(said).encode()]))
    usage = parser.end(0, None).usage
    assert usage.cost_usd == said["total_cost_usd"]
    assert usage.tokens_out == said["usage"]["output_tokens"]
    assert usage.tokens_in == sum(count for key, count in said["usage"].items() if key.endswith("input_tokens"))


def test_half_a_surrogate_becomes_storable_text() -> None:
    line = b'{"type":"assistant","message":{"content":[{"type":"text","text":"a\\ud800b"}]}}\n'
    (event,) = ClaudeProvider().parser(ASK).feed("out", line)
    assert event.text.encode() == b"a?b"


def test_a_permission_request_needs_the_user() -> None:
    case = transcript("permission-asked")
    events = ClaudeProvider().parser(ASK).feed("out", case.out)
    (asked,) = [event for event in events if event.kind is EventKind.NEEDS_USER]
    assert asked.data["tool_name"] == "Bash"
    assert asked.data["kind"] == "permission"


def test_a_used_up_account_is_told_with_its_reset() -> None:
    case = transcript("usage-limit")
    _, verdict = replay(ClaudeProvider().parser(ASK), [case.out], b"", 1, None)
    assert verdict.account
    assert verdict.until == 1795275600_000
    assert verdict.after_ms is None


def failed_call(text: str, said_at: str) -> bytes:
    told = {"type": "assistant", "is_api_error_message": True, "timestamp": said_at, "message": {"content": text}}
    result = {"type": "result", "subtype": "success", "is_error": True, "result": text, "api_error_status": 429}
    return b"".join(json.dumps(line).encode() + b"\n" for line in (told, result))


def ms(iso: str) -> int:
    return round(datetime.fromisoformat(iso).timestamp() * 1000)


NOON = "2026-11-21T12:00:00.123Z"


@pytest.mark.parametrize(
    ("text", "said_at", "until"),
    [
        ("Claude AI usage limit reached|1795275600", "", 1795275600_000),
        ("You've hit your 5-hour limit · resets 4pm (Europe/Berlin)", NOON, "2026-11-21T16:00+01:00"),
        ("You've hit your session limit · resets 1:30am (UTC)", NOON, "2026-11-22T01:30+00:00"),
        ("You've hit your weekly limit · resets Nov 26, 2:11pm (Europe/Berlin)", NOON, "2026-11-26T14:11+01:00"),
        ("You've hit your weekly limit · resets Jan 2, 12am (America/New_York)", NOON, "2027-01-02T00:00-05:00"),
        ("You've hit your weekly limit · resets Jan 20, 2027, 12pm (UTC)", NOON, "2027-01-20T12:00+00:00"),
        ("You've hit your limit · resets 4pm", NOON, None),  # whose afternoon?
        ("You've hit your limit · resets 4pm (Europe/Berlin)", "", None),  # of which day?
        ("You've hit your limit · resets 4pm (Atlantis/Capital)", NOON, None),
        ("You've hit your limit · resets 4pm (../../etc/passwd)", NOON, None),
        ("You've hit your limit · resets Feb 30, 4pm (UTC)", NOON, None),
        ("You've hit your channel's monthly spend limit.", NOON, None),
    ],
)
def test_the_reset_of_a_limit_is_read_and_never_guessed(text: str, said_at: str, until: int | str | None) -> None:
    parser = ClaudeProvider().parser(ASK)
    parser.feed("out", failed_call(text, said_at))
    verdict = parser.end(1, None)
    assert (verdict.reason, verdict.infrastructure, verdict.account) == (Failure.USAGE_LIMIT, True, True)
    assert verdict.until == (ms(until) if isinstance(until, str) else until)


def test_words_about_limits_are_no_limit() -> None:
    parser = ClaudeProvider().parser(ASK)
    result = {"type": "result", "subtype": "success", "is_error": False, "result": "You've hit your limit · resets 4pm"}
    parser.feed("out", b'{"type":"rate_limit_event","rate_limit_info":{"status":"rejected","resetsAt":1795275600}}\n')
    parser.feed("out", json.dumps(result).encode() + b"\n")
    verdict = parser.end(0, None)
    assert verdict.ok
    assert (verdict.until, verdict.account) == (None, False)


def test_a_wait_the_service_asked_for_is_passed_on() -> None:
    case = transcript("asked-to-wait")
    assert replay(ClaudeProvider().parser(ASK), [case.out], b"", 1, None)[1].after_ms == 3710


def test_its_own_backing_off_is_nobodys_word() -> None:
    parser = ClaudeProvider().parser(ASK)
    for attempt, wait in ((1, 543), (2, 1121), (3, 2480), (4, 4999), (10, 39_000)):
        said = {"subtype": "api_retry", "attempt": attempt, "retry_delay_ms": wait, "error": "rate_limit"}
        parser.feed("out", json.dumps({"type": "system", **said}).encode() + b"\n")
    parser.feed("out", failed_call("API Error: Request rejected (429)", ""))
    assert parser.end(1, None).after_ms is None


@pytest.mark.parametrize("name", ["bad-key", "not-logged-in"])
def test_who_is_not_logged_in_holds_the_account(name: str) -> None:
    case = transcript(name)
    assert replay(ClaudeProvider().parser(ASK), [case.out], b"", 1, None)[1].account


def test_headless_reads_the_prompt_from_a_file() -> None:
    launch = ClaudeProvider().launch(replace(ASK, prompt="-p looks like a flag\n", model="opus"))
    assert launch.argv == ("claude", "-p", "--output-format", "stream-json", "--verbose", "--model", "opus")
    assert launch.stdio == "pipes"
    assert (launch.stdin, launch.stdin_file) == ("file", "prompt.txt")
    assert launch.files["prompt.txt"] == b"-p looks like a flag\n"
    assert launch.env["CLAUDE_CODE_MAX_RETRIES"] == "2"


def test_interactive_gives_the_prompt_as_a_word_that_cannot_be_a_flag() -> None:
    launch = ClaudeProvider().launch(replace(ASK, mode="interactive", prompt="--help"))
    assert launch.argv == ("claude", "--", "--help")
    assert launch.stdio == "terminal"
    bare = ClaudeProvider().launch(replace(ASK, mode="interactive", prompt=""))
    assert bare.argv == ("claude",)


def test_options_become_flags_and_environment() -> None:
    options = {
        "permission_mode": "acceptEdits",
        "allowed_tools": ["Bash(git:*)", "Edit"],
        "max_budget_usd": 0.5,
        "session_id": UUID,
        "config_dir": "/home/user/.other",
        "base_url": "http://gateway.example",
        "max_retries": 0,
        "args": ["--fallback-model", "haiku"],
    }
    launch = ClaudeProvider().launch(replace(ASK, options=options))
    text = " ".join(launch.argv)
    for part in (
        "--permission-mode acceptEdits",
        "--allowedTools Bash(git:*),Edit",
        "--max-budget-usd 0.5",
        f"--session-id {UUID}",
    ):
        assert part in text
    assert launch.argv[-2:] == ("--fallback-model", "haiku")
    assert launch.env["CLAUDE_CONFIG_DIR"] == "/home/user/.other"
    assert launch.env["ANTHROPIC_BASE_URL"] == "http://gateway.example"
    assert launch.env["CLAUDE_CODE_MAX_RETRIES"] == "0"


def test_resuming_wins_over_a_chosen_session_id() -> None:
    launch = ClaudeProvider().launch(replace(ASK, resume=UUID, options={"session_id": UUID}))
    assert "--resume" in launch.argv
    assert "--session-id" not in launch.argv


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (replace(ASK, prompt="  "), "prompt"),
        (replace(ASK, prompt="a\0b"), "prompt"),
        (replace(ASK, resume="latest"), "resume"),
        (replace(ASK, options={"permission_mode": "yolo"}), "options.permission_mode"),
        (replace(ASK, options={"session_id": "mine"}), "options.session_id"),
        (replace(ASK, options={"max_turns": 0}), "options.max_turns"),
        (replace(ASK, options={"max_turns": True}), "options.max_turns"),
        (replace(ASK, options={"max_retries": -1}), "options.max_retries"),
        (replace(ASK, options={"modle": "x"}), "options.modle"),
    ],
)
def test_what_cannot_be_launched_is_refused_with_its_field(request_: Request, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        ClaudeProvider().validate(request_)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("printed", "version"),
    [("2.1.329 (Claude Code)\n", "2.1.329"), ("", ""), ("command not found", ""), ("1.0.0-beta.2 x", "1.0.0-beta.2")],
)
def test_the_version_is_found_in_what_it_printed(printed: str, version: str) -> None:
    assert ClaudeProvider().version(printed) == version

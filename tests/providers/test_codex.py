"""Codex: what is made of what it prints."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from providers.base import AgentEvent, EventKind, Failure, Provider, Request, Source, Verdict
from providers.codex import CodexProvider
from providers.codex_events import CodexParser
from providers.codex_failures import cause_of, moment_of
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

FOLDER = Path(__file__).parent / "transcripts" / "codex"
CASES = transcripts(FOLDER)
ASK = Request(task="t", attempt=1, mode="headless", prompt="Say hello", cwd="/project")
UUID = "0abc0000-0000-4000-8000-000000000001"
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


class TestContract(ProviderContract):
    @pytest.fixture
    def provider(self) -> Provider:
        return CodexProvider()

    @pytest.fixture
    def request_(self) -> Request:
        return ASK


@pytest.mark.parametrize("transcript", CASES, ids=repr)
def test_a_transcript_reads_the_same_however_it_is_cut(transcript: Transcript) -> None:
    check_transcript(CodexProvider(), ASK, transcript)


@pytest.mark.parametrize("transcript", [case for case in CASES if case.expected["ok"]], ids=repr)
def test_a_truncated_success_is_no_success(transcript: Transcript) -> None:
    check_truncation(CodexProvider(), ASK, transcript, last="turn.completed")


def transcript(name: str) -> Transcript:
    return next(case for case in CASES if case.name == name)


def verdict_on(name: str) -> Verdict:
    case = transcript(name)
    expected = case.expected
    return replay(CodexParser(), [case.out], case.err, expected["exit_code"], expected["signal"])[1]


def read(
    *said: object, exit_code: int | None = 0, stderr: bytes = b"", at: int = 0
) -> tuple[list[AgentEvent], Verdict]:
    return replay(CodexParser(at), [json.dumps(one).encode() + b"\n" for one in said], stderr, exit_code, None)


def failed(message: str) -> Verdict:
    return read({"type": "turn.started"}, {"type": "turn.failed", "error": {"message": message}}, exit_code=1)[1]


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_success_needs_exit_0_and_no_signal(case: Transcript) -> None:
    for exit_code, signal in ((1, None), (None, 9), (143, None), (None, None), (0, 15)):
        _, verdict = replay(CodexParser(), [case.out], case.err, exit_code, signal)
        assert not verdict.ok
        assert verdict.reason


def test_what_is_not_its_account_is_not_held_and_what_is_no_fault_of_the_task_costs_it_nothing() -> None:
    held = {case.name for case in CASES if verdict_on(case.name).account}
    assert held == {
        "not-logged-in", "forbidden", "no-key", "quota", "not-in-plan",
        "usage-limit", "usage-limit-today", "usage-limit-later",
    }  # fmt: skip
    assert {case.name for case in CASES if verdict_on(case.name).infrastructure} == {
        "rate-limit", "rate-limit-told", "server-error", "unavailable", "at-capacity",
        "stream-cut", "stream-overloaded", "connection-refused", "unknown-session", "session-in-use",
    }  # fmt: skip


def test_an_exit_with_0_in_the_middle_of_a_turn_is_no_result() -> None:
    _, verdict = read({"type": "thread.started", "thread_id": UUID}, {"type": "turn.started"})
    assert (verdict.ok, verdict.reason, verdict.session) == (False, Failure.NO_RESULT, UUID)


def test_a_second_turn_that_does_not_end_is_no_success() -> None:
    _, verdict = read({"type": "turn.started"}, {"type": "turn.completed"}, {"type": "turn.started"})
    assert not verdict.ok


def test_whatever_ends_it_while_it_waits_for_the_network_the_network_is_to_blame() -> None:
    case = transcript("connection-refused")
    for exit_code, signal in ((1, None), (None, 9), (None, 15), (0, None)):
        _, verdict = replay(CodexParser(), [case.out], case.err, exit_code, signal)
        assert (verdict.reason, verdict.infrastructure) == (Failure.CONNECTION, True)


def test_a_call_that_was_repeated_and_answered_is_no_longer_to_blame() -> None:
    case = transcript("recovered")
    lines = case.out.splitlines(keepends=True)
    _, verdict = replay(CodexParser(), lines[:-1], b"", 1, None)
    assert verdict.reason == Failure.CANCELLED


def test_what_a_program_prints_to_stderr_in_the_middle_of_a_turn_names_no_failure() -> None:
    _, verdict = read(
        {"type": "turn.started"}, exit_code=1, stderr=b"no rollout found\nnot inside a trusted directory\n"
    )
    assert verdict.reason == Failure.CANCELLED


def test_retries_are_told_with_their_number() -> None:
    events = CodexParser().feed("out", transcript("rate-limit").out)
    retries = [event.data for event in events if event.kind is EventKind.RETRY]
    assert [(data["attempt"], data["max"]) for data in retries] == [(1, 2), (2, 2)]
    waits = CodexParser().feed("out", transcript("connection-refused").out)
    assert [event.data["error"] for event in waits if event.kind is EventKind.RETRY] == [
        "Connection failed: error sending request"
    ] * 4


def test_a_tool_and_its_result_share_an_id() -> None:
    for name, tool, good in (
        ("tool", "shell", True),
        ("tool-fails", "shell", False),
        ("file-change", "file_change", True),
        ("mcp-tool", "probe.echo", True),
        ("mcp-tool-fails", "probe.fail", False),
        ("web-search", "web_search", True),
    ):
        events = CodexParser().feed("out", transcript(name).out)
        (used,) = [event for event in events if event.kind is EventKind.TOOL_USE]
        (result,) = [event for event in events if event.kind is EventKind.TOOL_RESULT]
        assert (used.text, used.data["name"]) == (tool, tool)
        assert used.data["id"] == result.data["id"] != ""
        assert result.data["ok"] is good, name


def test_what_a_tool_was_given_and_gave() -> None:
    events = CodexParser().feed("out", transcript("tool-fails").out)
    used, result = [event for event in events if event.kind in (EventKind.TOOL_USE, EventKind.TOOL_RESULT)]
    assert "exit 3" in used.data["input"]["command"]
    assert (result.text, result.data["exit_code"]) == ("it broke\n", 3)
    changed = CodexParser().feed("out", transcript("file-change").out)
    assert [event.text for event in changed if event.kind is EventKind.TOOL_RESULT] == ["add /project/greeting.txt"]
    called = CodexParser().feed("out", transcript("mcp-tool").out)
    assert [event.text for event in called if event.kind is EventKind.TOOL_RESULT] == ["echo: hello"]


def test_a_tool_told_of_when_it_is_done_has_a_beginning_too() -> None:
    item = {"id": "i", "type": "command_execution", "command": "ls", "status": "declined"}
    events, _ = read({"type": "item.completed", "item": item})
    assert [event.kind for event in events] == [EventKind.TOOL_USE, EventKind.TOOL_RESULT]
    assert events[1].data["ok"] is False


def test_a_plan_is_readable() -> None:
    steps = [{"text": "look", "completed": True}, {"text": "leap", "completed": False}]
    events, _ = read({"type": "item.updated", "item": {"id": "i", "type": "todo_list", "items": steps}})
    assert events[0].text == "[x] look\n[ ] leap"


def test_the_words_of_an_api_are_taken_out_of_their_json() -> None:
    assert "{" in transcript("bad-request").out.decode().split("turn.failed")[1].split("message")[1]
    assert verdict_on("bad-request").message == "no, says the endpoint (invalid_request_error)"
    assert verdict_on("unsupported-model").message.startswith("The 'model-x' model is not supported")


def test_usage_is_the_programs_own_and_has_no_cost() -> None:
    usage = verdict_on("tool").usage
    said = json.loads(transcript("tool").out.splitlines()[-1])["usage"]
    assert (usage.tokens_in, usage.tokens_out) == (said["input_tokens"], said["output_tokens"])
    assert usage.tokens_cached == said["cached_input_tokens"]
    assert (usage.cost_usd, usage.source, usage.model) == (None, Source.REPORTED, "")
    asked = CodexProvider().parser(replace(ASK, model="gpt-x"))
    assert replay(asked, [transcript("tool").out], b"", 0, None)[1].usage.model == "gpt-x"
    assert verdict_on("stream-cut").usage.source is Source.UNKNOWN


def test_the_usage_of_a_resumed_thread_counts_its_earlier_turns() -> None:
    """Nothing else is told; a turn that failed was never told of before."""
    first, resumed = verdict_on("tool"), verdict_on("resumed")
    assert resumed.session == first.session
    assert (first.usage.tokens_out, resumed.usage.tokens_out) == (47, 98)


@pytest.mark.parametrize(("resume", "whole"), [("", False), (UUID, True), (UUID[:-1] + "7", False)])
def test_only_what_was_resumed_counts_more_than_this_attempt(resume: str, whole: bool) -> None:
    case = transcript("tool")
    for code in (0, 1):
        verdict = replay(CodexParser(resume=resume), [case.out], case.err, code, None)[1]
        assert (verdict.session, verdict.ok, verdict.whole) == (UUID, code == 0, whole)


def test_why_it_repeats_a_call_may_be_told_beside_the_message() -> None:
    parser = CodexParser()
    told = parser.repeats("Reconnecting... waiting for network", "Connection failed: error sending request", b"")
    assert (told.kind, told.data) == (EventKind.RETRY, {"error": "Connection failed: error sending request"})
    assert parser.end(130, None).reason is Failure.CONNECTION
    assert CodexParser().repeats("Later.", "", b"").data == {"error": "Later."}


def test_a_setting_it_no_longer_knows() -> None:
    stderr = b'Error: approval_policy = "untrusted" is no longer supported; remove this setting\n\nStack backtrace:\n'
    verdict = read(exit_code=1, stderr=stderr)[1]
    assert verdict.reason is Failure.BAD_FLAG
    assert "no longer supported" in verdict.message


@pytest.mark.parametrize(
    ("message", "reason", "infrastructure"),
    [
        ("unexpected status 500 Internal Server Error: hm", Failure.OVERLOADED, True),
        ("unexpected status 529: hm", Failure.OVERLOADED, True),
        ("unexpected status 422 Unprocessable Entity: hm", Failure.API_ERROR, False),
        ("unexpected status 402 Payment Required: hm", Failure.BILLING, False),
        ("exceeded retry limit, last status: 502 Bad Gateway", Failure.OVERLOADED, True),
        ("stream disconnected before completion: failed to lookup address information", Failure.CONNECTION, True),
        ("stream disconnected before completion: idle timeout waiting for SSE", Failure.CUT_STREAM, True),
        ("Error while reading the server response: eof", Failure.CUT_STREAM, True),
        ("Access blocked by Cloudflare. Hm (status 403 Forbidden)", Failure.CONNECTION, True),
        ("Your access token could not be refreshed. Please log out and sign in again.", Failure.NOT_LOGGED_IN, False),
        ("Your workspace is out of credits. Add credits to continue.", Failure.BILLING, False),
        ("You hit your spend cap set by the owner of your workspace.", Failure.BILLING, False),
        ("You've hit your usage limit.", Failure.USAGE_LIMIT, False),
        ('{"error": {"message": "a new kind of trouble"}}', Failure.API_ERROR, False),
        ("{not json", Failure.AGENT, False),
        ("a new kind of trouble", Failure.AGENT, False),
        # the words of a server, told by Codex under a status of its own
        (
            "unexpected status 400 Bad Request: You've hit your usage limit. Try again in 3 days",
            Failure.API_ERROR,
            False,
        ),
    ],
)
def test_failures_have_names(message: str, reason: Failure, infrastructure: bool) -> None:
    verdict = failed(message)
    assert (verdict.reason, verdict.infrastructure) == (reason, infrastructure)
    assert verdict.message
    assert verdict.until is None


def test_a_failure_without_words_is_one() -> None:
    verdict = failed("")
    assert (verdict.ok, verdict.reason) == (False, Failure.AGENT)
    assert verdict.message


def local(year: int, month: int, day: int, hour: int, minute: int) -> int:
    return int(datetime(year, month, day, hour, minute).timestamp() * 1000)


def test_a_usage_limit_says_until_when() -> None:
    assert verdict_on("usage-limit-later").until == local(2026, 11, 25, 13, 4)
    case = transcript("usage-limit-today")
    asked = replace(ASK, at=local(2026, 11, 21, 13, 4))
    _, verdict = replay(CodexProvider().parser(asked), [case.out], b"", 1, None)
    assert (verdict.until, verdict.account) == (local(2026, 11, 21, 16, 4), True)
    assert verdict_on("usage-limit-today").until is None, "nobody said which day it is"
    assert verdict_on("usage-limit").until is None


@pytest.mark.parametrize(
    ("said", "until", "after_ms"),
    [
        ("Try again at 12:16 AM.", local(2026, 3, 2, 0, 16), None),
        ("or try again at 11:59 PM.", local(2026, 3, 1, 23, 59), None),
        ("or try again at 10:00 PM.", local(2026, 3, 1, 22, 0), None),  # the minute that has begun
        ("or try again at 9:59 PM.", local(2026, 3, 2, 21, 59), None),
        ("or try again at 9:59\u202fPM.", local(2026, 3, 2, 21, 59), None),
        ("Try again at Sep 26th, 2026 12:05 PM.", local(2026, 9, 26, 12, 5), None),
        ("try again at Sep 1st, 2026 10:37 PM.", local(2026, 9, 1, 22, 37), None),
        ("try again in 5 days 22 hours 11 minutes.", None, 5 * DAY + 22 * HOUR + 11 * MINUTE),
        ("Please try again in 2.5s.", None, 2_500),
        ("Please try again in 20ms. Visit", None, 20),
        ("Please try again in 1m30s.", None, 90_000),
        ("try again in 1 day, 2 hours and 3 minutes", None, DAY + 2 * HOUR + 3 * MINUTE),
        ("Try again at Feb 31st, 2026 1:00 PM.", None, None),
        ("Try again at Foo 3rd, 2026 1:00 PM.", None, None),
        ("Try again at 25:00 PM.", None, None),
        ("Try again at 0:61 AM.", None, None),
        ("Try again at Jan 1st, 0000 1:00 PM.", None, None),
        ("try again in " + "9" * 400 + " days", None, None),
        ("try again in " + "1 d " * 5000, None, None),
        ("try again in a while", None, None),
        ("try again later.", None, None),
    ],
)
def test_times_in_its_words(said: str, until: int | None, after_ms: int | None) -> None:
    assert moment_of(said, local(2026, 3, 1, 22, 0) + 30_000) == (until, after_ms)


def test_matching_words_is_linear() -> None:
    begun = time.process_time()
    for part in (
        "try again in 1 d ",
        "1" * 99 + " ",
        "stream disconnected ",
        "the model ",
        "try again at ",
        "{",
        '{"a":',
    ):
        cause_of("You've hit your usage limit " + part * 100_000, 1)
        cause_of(part * 100_000, 1)
    assert time.process_time() - begun < 5


def test_stderr_between_the_lines_changes_nothing() -> None:
    case = transcript("tool")
    quiet, noisy = CodexParser(), CodexParser()
    events: list[AgentEvent] = []
    more: list[AgentEvent] = []
    for line in case.out.splitlines(keepends=True):
        events += quiet.feed("out", line)
        half = len(line) // 2
        more += noisy.feed("out", line[:half])
        assert not noisy.feed("err", b'error: {"type":"turn.failed"}\n' * 3000)
        more += noisy.feed("out", line[half:])
    assert more == events
    assert noisy.end(0, None) == quiet.end(0, None)


def test_what_is_unknown_or_malformed_is_told_and_passed_over() -> None:
    case = transcript("tool")
    strange = (
        b'{"type":"hologram","x":1}\n{"type":"item.completed","item":{"type":"later"}}\nno json\n{"cut": \n[1,2]\n'
    )
    first, rest = case.out.split(b"\n", 1)
    parser = CodexParser()
    events = [*parser.feed("out", first + b"\n" + strange)]
    assert len(unknown_events(events)) == 5
    assert [event.data.get("malformed") for event in unknown_events(events)[2:]] == [True] * 3
    parser.feed("out", rest)
    assert parser.end(0, None).ok


def test_a_50_mb_line_is_linear_marked_and_survived() -> None:
    parser = CodexParser()
    begun = time.process_time()
    events = [*parser.feed("out", b'{"type":"item.completed","item":{"type":"agent_message","text":"')]
    chunk = b"y" * 65536
    for _ in range(800):
        events += parser.feed("out", chunk)
    events += parser.feed("out", b'"}}\n' + transcript("tool").out)
    assert time.process_time() - begun < 5, "quadratic"
    assert events[0].kind is EventKind.UNKNOWN
    assert events[0].data["skipped_bytes"] > MAX_LINE
    assert parser.end(0, None).ok


# Of every field it reads: everything that can stand there instead.
WRONG: tuple[Any, ...] = (
    None, True, -1, 7, 1.5, 1e999, 10**400, "", "x", "\0\x1b]0;t\x07", [], {}, [[]], [{}], [None, 1, {"text": 2}],
    {"text": []}, {"content": 7}, {"content": [1, {"text": []}]}, {"message": {}}, {"input_tokens": "3"},
)  # fmt: skip
TYPES: tuple[Any, ...] = (
    "thread.started", "turn.started", "turn.completed", "turn.failed", "item.started", "item.updated", "item.completed",
    "error", "new", "", 5, None, [], {},
)  # fmt: skip
ITEMS: tuple[Any, ...] = (
    "agent_message", "reasoning", "command_execution", "file_change", "mcp_tool_call", "collab_tool_call", "web_search",
    "todo_list", "error", "new", 5, None, [], {},
)  # fmt: skip
FIELDS = (
    "id", "text", "command", "aggregated_output", "exit_code", "status", "changes", "server", "tool", "arguments",
    "result", "error", "prompt", "query", "message", "items",
)  # fmt: skip


def hostile() -> Iterator[dict[str, Any]]:
    for kind in TYPES:
        yield {"type": kind}
        for key in ("thread_id", "usage", "error", "item", "message"):
            for wrong in WRONG:
                yield {"type": kind, key: wrong}
    for stage in ("started", "updated", "completed"):
        for kind in ITEMS:
            for key in FIELDS:
                for wrong in WRONG:
                    yield {"type": f"item.{stage}", "item": {"id": "i", "type": kind, key: wrong}}
    for key in ("input_tokens", "output_tokens", "cached_input_tokens"):
        for wrong in WRONG:
            yield {"type": "turn.completed", "usage": {key: wrong}}
    for wrong in WRONG:
        yield {"type": "turn.failed", "error": {"message": wrong}}


def test_nothing_that_stands_in_a_field_raises() -> None:
    for said in hostile():
        for exit_code, signal in ((0, None), (1, None), (None, 9)):
            parser = CodexParser(1)
            for event in parser.feed("out", json.dumps(said).replace("Infinity", "1e999").encode() + b"\n"):
                json.dumps(dict(event.data), allow_nan=False)
                assert isinstance(event.text, str)
            verdict = parser.end(exit_code, signal)
            assert verdict.ok is (said["type"] == "turn.completed" and exit_code == 0), said
            assert isinstance(verdict.message, str)
            assert isinstance(verdict.session, str)


@pytest.mark.parametrize("depth", [10, 300, 900, 3_000, 100_000])
def test_depth_does_not_matter(depth: int) -> None:
    deep = "[" * depth + "]" * depth
    lines = [
        f'{{"type":"item.completed","item":{{"id":"i","type":"mcp_tool_call","arguments":{deep}}}}}',
        f'{{"type":"item.completed","item":{{"id":"i","type":"file_change","changes":{deep}}}}}',
        f'{{"type":"turn.completed","usage":{deep}}}',
        f'{{"type":{deep}}}',
        json.dumps({"type": "turn.failed", "error": {"message": '{"error":' + deep + "}"}}),
    ]
    parser = CodexParser()
    for line in lines:
        for event in parser.feed("out", line.encode() + b"\n"):
            json.dumps(dict(event.data), allow_nan=False)
    assert not parser.end(1, None).ok


def test_what_began_and_never_ended_is_not_kept_without_bound() -> None:
    parser = CodexParser()
    for number in range(5_000):
        item = {"id": f"i{number}", "type": "command_execution"}
        parser.feed("out", json.dumps({"type": "item.started", "item": item}).encode() + b"\n")
    assert len(parser._open) <= 1_000

"""Claude Code conversed with: what is launched, and what is made of what its driver printed (recorded with 2.1.329)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from providers.base import EventKind, Failure, Provider, Request
from providers.claude import ClaudeProvider
from providers.claude_events import ClaudeParser
from providers.driven import SPEC, DrivenParser
from providers.errors import InvalidRequest
from providers.parsing import ExitCodeParser
from tests.contracts.provider import ProviderContract, Transcript, check_transcript, replay, transcripts

CASES = transcripts(Path(__file__).parent / "transcripts" / "claude-two-way")
UUID = "0abc0000-0000-4000-8000-000000000001"
ASK = Request(
    task="t",
    attempt=1,
    mode="headless",
    prompt="Say hello",
    cwd="/project",
    options={"permissions": "ask"},
    python=("qd",),
)


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


@pytest.mark.parametrize("transcript", CASES, ids=repr)
def test_success_needs_exit_0_and_no_signal(transcript: Transcript) -> None:
    for exit_code, signal in ((1, None), (None, 9), (143, None), (None, None)):
        _, verdict = replay(ClaudeProvider().parser(ASK), [transcript.out], b"", exit_code, signal)
        assert not verdict.ok
        assert verdict.reason


@pytest.mark.parametrize("name", ["approved", "question", "withdrawn"])
def test_every_question_was_asked_with_a_name_and_a_hash_and_settled(name: str) -> None:
    case = next(case for case in CASES if case.name == name)
    events = ClaudeProvider().parser(ASK).feed("out", case.out)
    (asked,) = [event for event in events if event.kind is EventKind.NEEDS_USER]
    (settled,) = [event for event in events if "answered" in event.data]
    assert asked.data["kind"] == ("question" if name == "question" else "approval")
    assert asked.data["hash"]
    assert settled.data["answered"] == asked.data["id"]


def spec(request: Request) -> dict[str, Any]:
    ClaudeProvider().validate(request)
    launch = ClaudeProvider().launch(request)
    assert launch.argv == ("qd", "_drive", f"@{SPEC}")
    found: dict[str, Any] = json.loads(launch.files[SPEC])
    return found


def test_the_driver_is_told_the_command_of_the_two_way_mode() -> None:
    said = spec(replace(ASK, model="opus", resume=UUID))
    text = " ".join(said["command"])
    assert text.startswith("claude -p --input-format stream-json --output-format stream-json --verbose")
    for part in ("--permission-prompt-tool stdio", "--model opus", f"--resume {UUID}", "--include-partial-messages"):
        assert part in text
    assert (said["driver"], said["prompt"], said["cwd"]) == ("claude", "Say hello", "/project")
    assert "Say hello" not in text


def test_options_mean_what_they_mean_to_a_one_shot_run() -> None:
    options = {
        "permission_mode": "acceptEdits",
        "allowed_tools": ["Read"],
        "max_turns": 7,
        "config_dir": "/home/user/.other",
        "base_url": "http://gateway.example",
        "partial_messages": False,
    }
    once = ClaudeProvider().launch(replace(ASK, options=options))
    request = replace(ASK, options={**options, "permissions": "wait", "wait_for": "90m", "start_timeout": 20})
    said = spec(request)
    flags = once.argv[once.argv.index("--verbose") + 1 :]
    assert tuple(said["command"][-len(flags) :]) == flags
    assert (said["permissions"], said["wait_ms"], said["start_ms"]) == ("wait", 5_400_000, 20_000)
    assert once.env.items() <= ClaudeProvider().launch(request).env.items()


def test_without_the_option_nobody_is_asked_and_in_a_terminal_it_asks_itself() -> None:
    provider = ClaudeProvider()
    assert isinstance(provider.parser(ASK), DrivenParser)
    assert isinstance(provider.parser(replace(ASK, options={})), ClaudeParser)
    assert provider.launch(replace(ASK, options={})).argv[:2] == ("claude", "-p")
    interactive = replace(ASK, mode="interactive")
    provider.validate(interactive)
    assert isinstance(provider.parser(interactive), ExitCodeParser)
    assert provider.launch(interactive).argv == ("claude", "--", "Say hello")


def test_it_can_be_answered_and_asks_nobody_unless_told_to() -> None:
    can = ClaudeProvider().capabilities()
    assert can.answers
    assert can.permissions == "", "an agent without the option may start though nobody watches"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"permissions": "yolo"}, "options.permissions"),
        ({"permissions": None}, "options.permissions"),
        ({"permissions": "ask", "wait_for": "1h"}, "options.wait_for"),
        ({"permissions": "wait", "wait_for": "soon"}, "options.wait_for"),
        ({"wait_for": "1h"}, "options.wait_for"),
        ({"start_timeout": 5}, "options.start_timeout"),
    ],
)
def test_what_cannot_be_launched_is_refused_with_its_field(options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        ClaudeProvider().validate(replace(ASK, options=options))
    assert refused.value.field == field


def test_a_driver_that_fails_is_a_named_failure() -> None:
    said = {
        "kind": "result",
        "text": "the agent did not answer initialize",
        "data": {"ok": False, "reason": "no-result"},
    }
    parser = ClaudeProvider().parser(ASK)
    parser.feed("out", json.dumps(said).encode() + b"\n")
    assert parser.end(1, None).reason is Failure.NO_RESULT

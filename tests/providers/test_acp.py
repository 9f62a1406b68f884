"""ACP agents: what is launched, and what is made of what the driver prints (recorded with real agents)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from providers.acp import AcpProvider
from providers.base import EventKind, Failure, Provider, Request
from providers.driven import SPEC, DrivenParser
from providers.errors import InvalidRequest
from tests.contracts.provider import ProviderContract, Transcript, check_transcript, replay, transcripts

CASES = transcripts(Path(__file__).parent / "transcripts" / "acp")
ASK = Request(
    task="t",
    attempt=1,
    mode="headless",
    prompt="Say hello",
    cwd="/project",
    options={"command": ["gemini", "--acp"]},
    python=("qd",),
)


class TestContract(ProviderContract):
    @pytest.fixture
    def provider(self) -> Provider:
        return AcpProvider()

    @pytest.fixture
    def request_(self) -> Request:
        return ASK


@pytest.mark.parametrize("transcript", CASES, ids=repr)
def test_a_transcript_reads_the_same_however_it_is_cut(transcript: Transcript) -> None:
    check_transcript(AcpProvider(), ASK, transcript)


@pytest.mark.parametrize("transcript", [case for case in CASES if case.expected["ok"]], ids=repr)
def test_a_truncated_success_is_no_success(transcript: Transcript) -> None:
    last = transcript.out.splitlines()[-1]
    for at in transcript.cuts():
        _, verdict = replay(DrivenParser(), [transcript.out[:at]], b"", 0, None)
        assert verdict.ok is (at >= len(transcript.out) - 1), f"cut at {at}"
    assert json.loads(last)["kind"] == "result"


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_success_needs_exit_0_and_no_signal(case: Transcript) -> None:
    for exit_code, signal in ((1, None), (None, 9), (143, None), (None, None)):
        _, verdict = replay(DrivenParser(), [case.out], case.err, exit_code, signal)
        assert not verdict.ok
        assert verdict.reason


def test_a_question_comes_with_all_that_answering_it_takes() -> None:
    for case in CASES:
        for event in DrivenParser().feed("out", case.out):
            if event.kind is EventKind.NEEDS_USER:
                assert event.text
                assert event.data["kind"] == "approval"
                assert len(event.data["hash"]) == 16
                assert {option["allows"] for option in event.data["options"]} == {True, False}
                return
    raise AssertionError("no recording asks")


def test_what_the_driver_knows_of_a_failure_is_kept() -> None:
    data = {"ok": False, "reason": "usage-limit", "infrastructure": True, "account": True, "until": 7, "after_ms": 8}
    line = json.dumps({"kind": "result", "text": "come back later", "data": data}).encode()
    verdict = replay(DrivenParser(), [line], b"", 1, None)[1]
    assert (verdict.reason, verdict.message) == (Failure.USAGE_LIMIT, "come back later")
    assert (verdict.infrastructure, verdict.account, verdict.until, verdict.after_ms) == (True, True, 7, 8)


def test_a_driver_that_died_is_judged_by_its_end() -> None:
    parser = DrivenParser()
    parser.feed("err", b"Traceback\nMemoryError\n")
    verdict = parser.end(1, None)
    assert (verdict.reason, verdict.message) == (Failure.EXIT, "MemoryError")
    assert DrivenParser().end(0, None).reason is Failure.NO_RESULT


def test_the_launch_is_the_driver_with_its_task_in_a_file() -> None:
    options = {
        "command": "opencode acp --print-logs",
        "permissions": "wait",
        "wait_for": "1h30m",
        "mode": "plan",
        "env": {"OPENCODE_CONFIG": "/home/user/other.json"},
        "mcp_servers": [{"name": "files", "command": "files-mcp", "env": {"A": "b"}}],
    }
    launch = AcpProvider().launch(replace(ASK, options=options, resume="s-1", model="m"))
    assert launch.argv == ("qd", "_drive", "@drive.json")
    assert (launch.stdio, launch.stdin) == ("pipes", "terminal")
    assert launch.env == {"OPENCODE_CONFIG": "/home/user/other.json"}
    spec = json.loads(launch.files[SPEC])
    assert spec["command"] == ["opencode", "acp", "--print-logs"]
    assert (spec["permissions"], spec["wait_ms"]) == ("wait", 5_400_000)
    assert (spec["prompt"], spec["cwd"], spec["resume"], spec["model"]) == ("Say hello", "/project", "s-1", "m")
    assert spec["mcp_servers"] == [
        {"name": "files", "command": "files-mcp", "args": [], "env": [{"name": "A", "value": "b"}]}
    ]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"command": []}, "options.command"),
        ({"command": ""}, "options.command"),
        ({"command": "gemini 'unclosed"}, "options.command"),
        ({"command": ["a\0b"]}, "command"),
        ({"permissions": "yolo"}, "options.permissions"),
        ({"wait_for": "1h"}, "options.wait_for"),
        ({"permissions": "wait", "wait_for": "soon"}, "options.wait_for"),
        ({"permissions": "wait", "wait_for": 0}, "options.wait_for"),
        ({"start_timeout": "never"}, "options.start_timeout"),
        ({"env": {"A=B": "c"}}, "options.env"),
        ({"mcp_servers": [{}]}, "options.mcp_servers"),
        ({"add_dirs": [3]}, "options.add_dirs"),
    ],
)
def test_what_cannot_be_launched_is_refused_with_its_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        AcpProvider().validate(replace(ASK, options={**ASK.options, **changes}))
    assert refused.value.field == field


@pytest.mark.parametrize(("change", "field"), [({"prompt": " "}, "prompt"), ({"python": ()}, "python")])
def test_what_it_cannot_do_without(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        AcpProvider().validate(replace(ASK, **change))
    assert refused.value.field == field

"""The parts of a driver by themselves: bounded lines, failures by their words, an agent's last ones."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lite.aio.tasks import spawn
from lite.drivers.agent import Agent
from lite.drivers.lines import MAX_LINE, encode
from lite.drivers.outcome import judge
from lite.executors.local import processes
from providers.base import EventKind, Failure

_LONG = {
    "E": "\x1b" * (300 << 10),
    "M": "\x1b" * (1200 << 10),
    "W": "ä" * 700_000,
}  # drawn by name: they are dear to show
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=9) | st.sampled_from(sorted(_LONG)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def long(value: Any) -> Any:
    if isinstance(value, str):
        return _LONG.get(value, value)
    if isinstance(value, list):
        return [long(one) for one in value]
    return {key: long(one) for key, one in value.items()} if isinstance(value, dict) else value


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(["", "short", "E", "M"]), st.dictionaries(st.text(max_size=5), _VALUES), _VALUES)
def test_no_line_is_longer_than_1_mib_and_each_is_an_object(text: str, data: dict[str, Any], raw: Any) -> None:
    text, data, raw = long(text), long(data), long(raw)
    line = encode(EventKind.MESSAGE, text, data, raw)
    assert len(line) <= MAX_LINE
    assert line.count(b"\n") == 1
    said = json.loads(line)
    assert said["kind"] == "message"
    if len(line) < MAX_LINE // 2 and "cut" not in said["data"]:
        assert (said["text"], said["data"]) == (text, data)
    if said["text"] != text:
        assert said["data"]["cut"]["text"] == len(text)


def test_a_wide_and_deep_value_is_bounded_too() -> None:
    wide: Any = "x" * 150
    for _ in range(4):
        wide = {str(number): wide for number in range(21)}
    line = encode(EventKind.TOOL_USE, "t", {"id": "1", "input": wide}, wide)
    assert len(line) <= MAX_LINE
    assert json.loads(line)["data"]["id"] == "1"


@pytest.mark.parametrize(
    ("text", "status", "reason", "infrastructure"),
    [
        ("429 Too many requests", None, Failure.RATE_LIMIT, True),
        ("You exceeded your current quota", 429, Failure.USAGE_LIMIT, True),
        ("Internal error", 429, Failure.RATE_LIMIT, True),
        ("The model is overloaded", 500, Failure.OVERLOADED, True),
        ("something odd", 502, Failure.OVERLOADED, True),
        ("connect ECONNREFUSED 127.0.0.1:9", None, Failure.CONNECTION, True),
        ("Internal error: Connection reset by server", None, Failure.CONNECTION, True),
        ("terminated", 500, Failure.CUT_STREAM, True),
        ("the tool was terminated", None, Failure.AGENT, False),
        ("API key not valid. Please pass a valid API key.", 400, Failure.NOT_LOGGED_IN, False),
        ("fake 404: not_found_error", 500, Failure.BAD_MODEL, False),
        ("model small-7 not found", None, Failure.BAD_MODEL, False),
        ("cannot read the file", None, Failure.AGENT, False),
    ],
)
def test_a_failure_is_known_by_its_words(text: str, status: int | None, reason: Failure, infrastructure: bool) -> None:
    found = judge(text, status)
    assert (found.reason, found.infrastructure, found.text, found.ok) == (reason, infrastructure, text, False)


def test_when_it_may_go_better_is_read_from_words() -> None:
    assert judge("rate limit: retry after 2m").after_ms == 120_000
    assert judge("no such thing: retry after 2m").after_ms is None


@pytest.fixture
def new_processes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver ends all it has started; here it is one of many tests in a process, whose servers are not its."""
    find, others = processes.descendants, {seen.pid for seen in processes.descendants(os.getpid())}
    monkeypatch.setattr(processes, "descendants", lambda root: [one for one in find(root) if one.pid not in others])


@pytest.mark.usefixtures("new_processes_only")
async def test_its_last_words_are_heard_though_it_has_ended(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    agent = await Agent.start(["sh", "-c", f"(read go < {gate}; echo no such profile >&2) > /dev/null & exit 3"], "")
    assert await agent.wait(30)
    assert agent.tail.text == ""
    hearing = spawn(agent.last_words(), "test.hearing")
    await asyncio.to_thread(gate.write_text, "go\n")
    await hearing
    assert agent.tail.text == "no such profile"
    await agent.end(0, asyncio.Event())
    assert capfd.readouterr().err == "no such profile\n", "and passed on"

"""What an agent tells in pieces, a piece a line: a secret is in none of them, nor in all of them together."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite.drivers.lines import Lines
from lite.drivers.spec import hidden
from lite.executors.secret_forms import forms
from providers.base import EventKind

SECRET = "sk-canary-7Qx é&b"
NEEDLES = forms([SECRET])


def told(says: Sequence[tuple[EventKind, str]], needles: Sequence[bytes] = NEEDLES) -> list[dict[str, Any]]:
    """The lines, each piece with a message of its own beside it."""
    read, write = os.pipe()
    lines = Lines(write, needles)
    for kind, text in says:
        lines.say(kind, text, {"n": 1}, {"raw": text})
    lines.say(EventKind.RESULT, "", {"ok": True})
    os.close(write)
    with os.fdopen(read, "rb") as file:
        return [json.loads(line) for line in file]


def joined(lines: Sequence[dict[str, Any]], kind: EventKind) -> str:
    return "".join(line["text"] for line in lines if line["kind"] == kind)


@given(st.lists(st.integers(0, len(f"I use {SECRET}, yes")), max_size=12), st.sampled_from(["delta", "thinking"]))
def test_however_it_is_cut(at: list[int], kind: str) -> None:
    text, piece = f"I use {SECRET}, yes", EventKind(kind)
    edges = [0, *sorted(at), len(text)]
    lines = told([(piece, text[begin:end]) for begin, end in pairwise(edges)])
    assert joined(lines, piece) == text.replace(SECRET, "*" * len(SECRET.encode()))
    assert not [line for line in lines if line.get("raw") and line["raw"]["raw"] != line["text"]]


@pytest.mark.parametrize("other", [EventKind.THINKING, EventKind.TOOL_USE, EventKind.UNKNOWN])
@pytest.mark.parametrize("at", range(1, len(SECRET)))
def test_though_something_else_comes_in_between(at: int, other: EventKind) -> None:
    lines = told([(EventKind.DELTA, SECRET[:at]), (other, "meanwhile"), (EventKind.DELTA, SECRET[at:])])
    shown = joined(lines, EventKind.DELTA)
    assert [line["kind"] for line in lines[:2]] == ["delta", other], "in the order in which it was told"
    assert set(shown[8:]) == {"*"}
    assert joined(lines, other) == "meanwhile"


def test_what_is_no_secret_is_told_at_once_and_as_it_was() -> None:
    says = [(EventKind.DELTA, "sk"), (EventKind.DELTA, "ip it, "), (EventKind.DELTA, ""), (EventKind.MESSAGE, SECRET)]
    lines = told(says)
    assert [line["text"] for line in lines] == ["skip it, ", "", SECRET, ""], "what is within a line the holder hides"
    assert "raw" not in lines[0], "its message holds what was told later"
    assert lines[1]["raw"] == {"raw": ""}
    assert [line["text"] for line in told(says, ())] == ["sk", "ip it, ", "", SECRET, ""]


def test_a_message_that_begins_with_the_rest_of_one() -> None:
    lines = Lines(needles=NEEDLES)
    assert lines.hide(f"one {SECRET}!") == f"one {'*' * len(SECRET.encode())}!"
    assert lines.hide(SECRET[:9]) == "*" * 9
    assert lines.hide(SECRET[9:]) == "*" * len(SECRET[9:].encode())
    assert Lines().hide(SECRET) == SECRET


def test_secrets_are_known_by_the_names_of_their_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QD_SECRETS", "ONE,GONE,SHORT")
    monkeypatch.setenv("ONE", SECRET)
    monkeypatch.setenv("SHORT", "short")
    assert hidden() == NEEDLES
    assert "QD_SECRETS" not in os.environ, "the agent is not told"
    assert hidden() == ()

"""The driver of Claude Code against what the real one (2.1.329) said, and was told, when these were recorded: it tells
that the same again, and makes the same of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from providers.base import EventKind
from tests.drivers.driving import driving
from tests.support.replays import TRANSCRIPTS, cases

FOLDER = TRANSCRIPTS / "claude-wire"
ANSWERS: dict[str, tuple[str, str]] = {
    "approved": ("allow", ""),
    "denied": ("deny", "Not in this directory."),
    "granted": ("answer", "session"),
    "question": ("answer", "2"),
}
POLICIES = {"withdrawn": "ask", "interrupted": "allow", "background": "allow", **dict.fromkeys(ANSWERS, "ask")}


def prompt_of(wire: Path) -> str:
    told = (json.loads(line[2:]) for line in wire.read_text().splitlines() if line.startswith("> "))
    prompt: str = next(said["message"]["content"] for said in told if said["type"] == "user")
    return prompt


@pytest.mark.parametrize("wire", sorted(FOLDER.glob("*.jsonl")), ids=lambda path: path.stem)
def test_a_recorded_conversation_goes_the_same_way(tmp_path: Path, wire: Path) -> None:
    name, expected = wire.stem, cases("claude-wire")[wire.stem]
    how: dict[str, Any] = {"options": {"permissions": POLICIES.get(name, "deny")}, "prompt": prompt_of(wire)}
    with driving(tmp_path, f"replay:{wire}", provider="claude", **how) as driver:
        if name in ANSWERS:
            driver.answer(driver.until(EventKind.NEEDS_USER), *ANSWERS[name])
        elif name in ("withdrawn", "interrupted"):
            driver.until(EventKind.NEEDS_USER if name == "withdrawn" else EventKind.TOOL_USE)
            driver.interrupt()
        verdict = driver.finish()
    assert [note for note in driver.notes if note["what"] == "unlike"] == []
    assert driver.process.returncode == expected["exit_code"]
    usage = verdict.usage
    got = {
        "ok": verdict.ok,
        "reason": verdict.reason,
        "infrastructure": verdict.infrastructure,
        "output": verdict.output,
        "message": verdict.message,
        "session": verdict.session,
        "tokens_in": usage.tokens_in,
        "tokens_out": usage.tokens_out,
        "cost_usd": usage.cost_usd,
        "kinds": driver.kinds(),
    }
    assert got == {key: expected[key] for key in got}
    assert verdict.until == (1795275600_000 if name == "usage-limit" else None)
    assert (verdict.after_ms is not None) is (name == "rate-limit")
    assert verdict.account is (name in ("usage-limit", "bad-key"))

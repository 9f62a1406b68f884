"""The driver of opencode against what the real server (1.18.33) told and answered when these were recorded: it asks for
the same again, and makes the same of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from providers.base import EventKind
from tests.drivers.driving import driving
from tests.support import opencode_server
from tests.support.replays import TRANSCRIPTS, cases

FOLDER = TRANSCRIPTS / "opencode-wire"
SCRIPT = str(Path(opencode_server.__file__))
ANSWERS: dict[str, list[tuple[str, str]]] = {
    "approved": [("allow", "")],
    "denied": [("deny", "Not today.")],
    "always": [("answer", "always")],
    "question": [("answer", "Blue"), ("answer", "S, L")],
    "unanswered": [("deny", ""), ("deny", "ask later")],
    "subagent": [("allow", ""), ("allow", "")],
}


def asked_of(wire: Path) -> tuple[str, str]:
    """The prompt and the model of the recorded turn."""
    for mark, said in opencode_server.read(wire):
        if mark == ">" and said[1].endswith("/prompt_async"):
            return said[2]["parts"][0]["text"], "/".join(said[2]["model"].values())
    return "Do it", "ours/model-1"


@pytest.mark.parametrize("wire", sorted(FOLDER.glob("*.jsonl")), ids=lambda path: path.stem)
def test_a_recorded_conversation_goes_the_same_way(tmp_path: Path, wire: Path) -> None:
    name, expected = wire.stem, cases("opencode-wire")[wire.stem]
    prompt, model = asked_of(wire)
    how: dict[str, Any] = {
        "command": [sys.executable, SCRIPT, str(wire), str(tmp_path / "notes.jsonl")],
        "options": {"permissions": "allow" if name == "interrupted" else "ask"},
        "prompt": prompt.replace("/project", str(tmp_path)),
        "model": model,
        "resume": {"resumed": "ses_0001Example", "unknown-session": "ses_none"}.get(name, ""),
        "quick": {"close_ms": 1},
    }
    with driving(tmp_path, "", provider="opencode", **how) as driver:
        for decision, text in ANSWERS.get(name, ()):
            driver.answer(driver.until(EventKind.NEEDS_USER), decision, text)
        if name == "interrupted":
            driver.until(EventKind.TOOL_USE)
            driver.interrupt()
        verdict = driver.finish()
    assert [note for note in driver.notes if note["what"] in ("unlike", "stranger")] == []
    assert driver.process.returncode == expected["exit_code"]
    usage = verdict.usage
    got = {
        "ok": verdict.ok,
        "reason": verdict.reason,
        "infrastructure": verdict.infrastructure,
        "account": verdict.account,
        "after_ms": verdict.after_ms,
        "output": verdict.output and verdict.output.replace(str(tmp_path), "/project"),
        "message": verdict.message,
        "session": verdict.session,
        "tokens_in": usage.tokens_in,
        "tokens_out": usage.tokens_out,
        "cost_usd": usage.cost_usd,
        # when something is settled depends on who answers
        "kinds": [kind for kind in driver.kinds() if kind != "unknown"],
    }
    assert got == {key: expected[key] for key in got}

"""What the real `codex app-server` said once, said again to the driver: it must answer as then, and judge rightly.

A file is a conversation: `< LINE` is Codex', `> LINE` what it was told. Version 0.169.0, with a model server of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from providers.base import EventKind, Failure, Source, Usage
from tests.drivers.driving import Driving, driving

FOLDER = Path(__file__).parents[1] / "providers" / "transcripts" / "codex" / "app-server"
THREAD = "0abc0000-0000-4000-8000-000000000001"
UNKNOWN = "0abc0000-0000-4000-8000-000000000009"
TOOL = ["tool_use", "needs_user", "tool_result"]


@dataclass(frozen=True)
class Case:
    """`answer` is a person's to what is asked; `stop` what it is interrupted at; `calls` of the model, of 1000 tokens
    read and 50 written, are told of."""

    name: str
    kinds: list[str]
    reason: Failure | str = ""
    words: str = ""
    answer: tuple[str, ...] = ()
    stop: EventKind | None = None
    calls: int = 0
    resume: str = ""
    sandbox: str = "danger-full-access"
    infrastructure: bool = False
    policy: str = "ask"

    def __repr__(self) -> str:
        return self.name


def good(name: str, answer: str, words: str, why: str = "", **more: Any) -> Case:
    kinds = ["init", "message", *TOOL, "usage", "message", "usage", "result"]
    return Case(name, kinds, words=words, answer=(answer, why), calls=2, **more)


def bad(name: str, reason: Failure, words: str, *, infrastructure: bool = True, kinds: str = "retry") -> Case:
    return Case(name, ["init", *kinds.split(), "result"], reason, words, infrastructure=infrastructure)


CUT = "stream disconnected before completion"
CASES = [
    good("command-allowed", "allow", "ran-by-the-agent"),
    good("command-denied", "deny", "rejected by user"),
    good("denied-why", "deny", "rejected by user", why="not today"),
    good("change-allowed", "allow", "Updated the following files", sandbox="read-only"),
    good("change-denied", "deny", "patch rejected by user", sandbox="read-only"),
    good("resumed", "allow", "ran-by-the-agent", resume=THREAD),
    Case(
        "end-the-turn",
        ["init", "message", *TOOL, "usage", "result"],
        Failure.CANCELLED,
        "interrupted",
        answer=("answer", "cancel"),
        calls=1,
    ),
    Case(
        "interrupted-tool",
        ["init", "message", "tool_use", "usage", "result"],
        Failure.CANCELLED,
        stop=EventKind.TOOL_USE,
        calls=1,
    ),
    Case(
        "interrupted-question",
        ["init", "message", *TOOL, "usage", "result"],
        Failure.CANCELLED,
        stop=EventKind.NEEDS_USER,
        calls=1,
    ),
    Case("interrupted-text", ["init", "result"], Failure.CANCELLED, stop=EventKind.DELTA),
    Case("unknown-thread", ["result"], Failure.UNKNOWN_SESSION, "no rollout", resume=UNKNOWN, infrastructure=True),
    bad("status-401", Failure.NOT_LOGGED_IN, "401 Unauthorized", infrastructure=False),
    bad("status-429", Failure.RATE_LIMIT, "429 Too Many Requests", kinds=""),
    bad("status-500", Failure.OVERLOADED, "high demand"),
    bad("stream-cut", Failure.CUT_STREAM, CUT),
    Case(
        "later-cut",
        ["init", "message", *TOOL, "usage", "usage", "retry", "usage", "result"],
        Failure.CUT_STREAM,
        CUT,
        answer=("allow",),
        calls=1,
        infrastructure=True,
    ),
    Case(
        "no-network",
        ["init", "retry", "result"],
        Failure.CONNECTION,
        "error sending request",
        stop=EventKind.RETRY,
        infrastructure=True,
    ),
]


def replayed(folder: Path, case: Case, file: Path, *, cut: bool = False) -> tuple[Driving, Any]:
    options = {"sandbox": case.sandbox, "permissions": case.policy}
    how: Any = {"provider": "codex", "resume": case.resume, "model": "model-1", "options": options}
    with driving(folder, f"replay{'-cut' if cut else ''}:{file}", **how) as driver:
        if case.answer and case.policy == "ask":
            driver.answer(driver.until(EventKind.NEEDS_USER), *case.answer)
        if case.stop is not None:
            driver.until(case.stop)
            driver.interrupt()
        verdict = driver.finish()
    assert not [note for note in driver.notes if note["what"] == "unexpected"], driver.notes
    return driver, verdict


def test_every_recording_has_a_case() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == {case.name for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_it_comes_to_what_it_came_to(tmp_path: Path, case: Case) -> None:
    driver, verdict = replayed(tmp_path, case, FOLDER / f"{case.name}.talk")
    assert (verdict.ok, verdict.reason) == (not case.reason, case.reason), driver.lines[-1]
    assert case.words in (verdict.output or verdict.message)
    assert verdict.infrastructure is case.infrastructure
    assert [kind for kind in driver.kinds() if kind not in ("unknown", "delta")] == case.kinds
    used = Usage(1000 * case.calls, 50 * case.calls, None, Source.REPORTED, 0, "model-1") if case.calls else Usage()
    assert verdict.usage == used, "of a resumed conversation this turn's only"
    assert verdict.session == ("" if case.name == "unknown-thread" else THREAD)


@pytest.mark.parametrize("lines", [2, 5, 9, 14, 19, 24, 27])
def test_a_recording_cut_short_is_no_success(tmp_path: Path, lines: int) -> None:
    whole = (FOLDER / "command-allowed.talk").read_text().splitlines(keepends=True)
    assert any('"turn/completed"' in line for line in whole[lines:])
    cut = tmp_path / "cut.talk"
    cut.write_text("".join(whole[:lines]))
    driver, verdict = replayed(tmp_path, good("cut", "", "", policy="allow"), cut, cut=True)
    assert verdict.reason is Failure.NO_RESULT, driver.lines[-1]

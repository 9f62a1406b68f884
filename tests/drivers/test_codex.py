"""The driver of Codex with a scripted `codex app-server`, as a process: what a holder starts, types and reads."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from lite.drivers.codex_asks import change_text, command_text
from providers.base import EventKind, Failure, Source, Usage
from tests.drivers.driving import Driving, alive
from tests.drivers.driving import driving as driving_any
from tests.support.codex_agent import CHANGES, THREAD, TURN

UNKNOWN = "0abc0000-0000-4000-8000-000000000009"
USED = Usage(3000, 300, None, Source.REPORTED, 1500, "model-1")


def driving(folder: Path, scenario: str, **how: Any) -> Any:
    return driving_any(folder, scenario, provider="codex", **how)


def ran(folder: Path, scenario: str, **how: Any) -> tuple[Driving, Any]:
    with driving(folder, scenario, **how) as driver:
        verdict = driver.finish()
    return driver, verdict


def told(driver: Driving, method: str) -> dict[str, Any]:
    params: dict[str, Any] = driver.noted(method)["said"]["params"]
    return params


def answers(driver: Driving) -> dict[str, Any]:
    found: dict[str, Any] = driver.noted("answers")["answers"]
    return found


def settled(driver: Driving) -> list[tuple[str, str]]:
    return [(one["data"]["decision"], one["data"]["by"]) for one in driver.lines if "answered" in one["data"]]


def test_a_turn_is_told_in_neutral_words(tmp_path: Path) -> None:
    driver, verdict = ran(tmp_path, "ok")
    assert verdict.ok
    assert (verdict.output, verdict.session, verdict.usage) == ("Done.", THREAD, USED)
    assert not verdict.whole, "what is told twice is counted once, and nothing of other attempts is in it"
    kinds = [kind for kind in driver.kinds() if kind != "unknown"]
    assert kinds == ["init", "delta", "message", "usage", "usage", "usage", "result"]
    assert driver.lines[0]["data"] == {
        "session": THREAD,
        "agent": "codex",
        "version": "0.169.0",
        "resumed": False,
        "model": "model-1",
    }
    assert driver.noted("eof"), "its input was closed, nothing more was needed"
    order = [note["what"] for note in driver.notes]
    assert order == ["flags", "initialize", "initialized", "thread/start", "turn/start", "eof"]
    assert told(driver, "initialize")["capabilities"]["experimentalApi"] is False
    start = {"cwd": str(tmp_path), "model": None, "approvalsReviewer": "user", "approvalPolicy": "on-request"}
    assert told(driver, "thread/start") == start
    (given,) = told(driver, "turn/start")["input"]
    assert (given["type"], given["text"]) == ("text", "Do it")


def test_a_resumed_conversation_is_told_everything_again_and_counts_its_own_turn_only(tmp_path: Path) -> None:
    options = {"sandbox": "danger-full-access", "approval": "untrusted", "args": ["--enable", "x"]}
    driver, verdict = ran(tmp_path, "ok", resume=THREAD, model="model-7", options=options)
    assert verdict.ok
    resume = told(driver, "thread/resume")
    assert (resume["threadId"], resume["model"]) == (THREAD, "model-7")
    assert (resume["sandbox"], resume["approvalPolicy"]) == ("danger-full-access", "untrusted")
    assert driver.noted("flags")["flags"][:1] == ["app-server"]
    assert driver.noted("flags")["flags"][-2:] == ["--enable", "x"]
    assert "-m" not in driver.noted("flags")["flags"], "it has no such flag"
    assert verdict.usage == USED


def test_a_conversation_nobody_knows(tmp_path: Path) -> None:
    _, verdict = ran(tmp_path, "ok", resume=UNKNOWN)
    assert (verdict.reason, verdict.infrastructure) == (Failure.UNKNOWN_SESSION, True)
    assert UNKNOWN in verdict.message


def test_its_work_is_told(tmp_path: Path) -> None:
    driver, verdict = ran(tmp_path, "work")
    assert verdict.ok
    said = [(one["kind"], one["text"], one["data"]) for one in driver.lines]
    assert ("thinking", "Let me\n\nsee.", {}) in said
    assert ("unknown", "[x] look\n[ ] do", {"type": "todo_list"}) in said
    assert ("tool_use", "shell", {"id": "c", "name": "shell", "input": {"command": "make"}}) in said
    assert ("tool_result", "made\n", {"id": "c", "ok": False, "status": "failed", "exit_code": 2}) in said
    assert ("tool_result", "update /project/hello.txt", {"id": "f", "ok": True, "status": "completed"}) in said
    assert [text for kind, text, _ in said if kind == "tool_use"] == ["shell", "file_change", "notes.add", "web_search"]
    retry = next(data for kind, _, data in said if kind == "retry")
    assert retry == {"attempt": 2, "max": 5, "error": "unexpected status 503 Service Unavailable: x"}
    pieces = [data for kind, _, data in said if data.get("type") == "item/commandExecution/outputDelta"]
    assert pieces == [{"type": "item/commandExecution/outputDelta", "characters": 5}], "only the whole can be hidden"
    assert sum("made" in json.dumps(one) for one in driver.lines) == 1, "where it is told as a result"
    assert ("unknown", "be careful", {"type": "warning"}) in said
    assert verdict.output == "Done.", "not what a helper of its said"
    assert verdict.usage == Usage(3700, 370, None, Source.REPORTED, 1850, "model-2"), "its helpers' tokens too"


@pytest.mark.parametrize(("decision", "said"), [("allow", "accept"), ("deny", "decline")])
@pytest.mark.parametrize("what", ["command", "change"])
def test_a_person_answers_what_was_asked(tmp_path: Path, what: str, decision: str, said: str) -> None:
    with driving(tmp_path, f"ask:{what}") as driver:
        asked = driver.until(EventKind.NEEDS_USER)
        assert asked["data"]["kind"] == "approval"
        tool, item = {"command": ("shell", "c1"), "change": ("file_change", "f1")}[what]
        assert (asked["data"]["tool"], asked["data"]["tool_id"]) == (tool, item)
        if what == "command":
            assert asked["text"] == "make all\nin /project\nwhy it asks: it wants the network"
        else:
            assert asked["text"] == "update /project/hello.txt:\n-hello\n+goodbye\n", "all that it would do is shown"
        driver.answer(asked, decision)
        verdict = driver.finish()
    assert answers(driver) == {what: {"decision": said}}
    assert settled(driver) == [(decision, "person")]
    assert verdict.ok, "it went on after the refusal, so it is the agent's own success"


def test_why_it_was_denied_is_told_before_that(tmp_path: Path) -> None:
    with driving(tmp_path, "ask:command") as driver:
        driver.answer(driver.until(EventKind.NEEDS_USER), "deny", "not today")
        driver.finish()
    assert answers(driver) == {"command": {"decision": "decline"}}
    order = [note["what"] for note in driver.notes]
    assert order.index("turn/steer") < order.index("answer")
    steered = told(driver, "turn/steer")
    assert (steered["threadId"], steered["expectedTurnId"]) == (THREAD, TURN)
    assert steered["input"][0]["text"] == "not today"


def test_more_is_granted_only_when_a_person_names_it_and_for_this_session_only(tmp_path: Path) -> None:
    with driving(tmp_path, "ask:change+rule") as driver:
        first, second = driver.until(EventKind.NEEDS_USER), driver.until(EventKind.NEEDS_USER)
        options = {one["id"]: one["lasting"] for one in first["data"]["options"]}
        assert options == {"accept": False, "acceptForSession": True, "decline": False, "cancel": True}
        assert [one["id"] for one in second["data"]["options"]] == ["accept", "decline"], "no rule is written to a file"
        driver.answer(second, "answer", "Deny")
        driver.answer(first, "answer", "Allow for this session")
        driver.finish()
    assert answers(driver) == {"change": {"decision": "acceptForSession"}, "rule": {"decision": "decline"}}


@pytest.mark.parametrize(("policy", "said"), [("allow", "accept"), ("deny", "decline")])
def test_a_policy_asks_nobody(tmp_path: Path, policy: str, said: str) -> None:
    driver, _ = ran(tmp_path, "ask:command+change+questions+strange", options={"permissions": policy})
    assert "needs_user" not in driver.kinds()
    found = answers(driver)
    assert found["command"] == found["change"] == {"decision": said}
    assert found["questions"] == {"answers": {}}, "nobody is there for a question"
    assert found["strange"]["code"] == -32601


def test_waiting_for_a_person_has_an_end(tmp_path: Path) -> None:
    driver, _ = ran(tmp_path, "ask:command", options={"permissions": "wait", "wait_for": "200ms"})
    assert settled(driver) == [("deny", "policy")]
    assert answers(driver) == {"command": {"decision": "decline"}}


def test_permissions_are_granted_for_the_turn(tmp_path: Path) -> None:
    with driving(tmp_path, "ask:permissions+server+form") as driver:
        for _ in range(2):
            asked = driver.until(EventKind.NEEDS_USER)
            assert ('"enabled": true' in asked["text"]) or asked["text"] == "notes: Delete all?"
            driver.answer(asked, "allow")
        driver.finish()
    assert answers(driver) == {
        "permissions": {"permissions": {"network": {"enabled": True}}, "scope": "turn"},
        "server": {"action": "accept", "content": {}, "_meta": None},
        "form": {"action": "decline", "content": None, "_meta": None},
    }


def test_refused_permissions_grant_nothing(tmp_path: Path) -> None:
    driver, _ = ran(tmp_path, "ask:permissions+server", options={"permissions": "deny"})
    assert answers(driver) == {
        "permissions": {"permissions": {}, "scope": "turn"},
        "server": {"action": "decline", "content": None, "_meta": None},
    }


def test_its_questions_are_asked_one_by_one(tmp_path: Path) -> None:
    with driving(tmp_path, "ask:questions") as driver:
        colour = driver.until(EventKind.NEEDS_USER)
        assert (colour["data"]["kind"], colour["text"]) == ("question", "Which colour?\n- Red\n- Blue")
        driver.answer(colour, "answer", "Green")
        assert driver.until(EventKind.UNKNOWN)["data"]["why"] == "no such answer"
        driver.answer(colour, "answer", "Blue")
        driver.answer(driver.until(EventKind.NEEDS_USER), "answer", "Ada")
        driver.finish()
    told_it = {"q1": {"answers": ["Blue"]}, "q2": {"answers": ["Ada"]}}
    assert answers(driver) == {"questions": {"answers": told_it}}


def test_a_question_it_takes_back_is_settled(tmp_path: Path) -> None:
    gate = tmp_path / "notes.jsonl.gate"
    os.mkfifo(gate)
    with driving(tmp_path, "taken-back") as driver:
        asked = driver.until(EventKind.NEEDS_USER)
        gate.write_bytes(b"")
        driver.until(EventKind.UNKNOWN, answered=asked["data"]["id"])
        gate.write_bytes(b"")
        assert driver.finish().ok
    assert settled(driver) == [("cancel", "agent")]


def test_what_it_does_not_tell_is_shown_as_it_is() -> None:
    assert '"command": "make x"' in command_text({"itemId": "1", "commandActions": [{"command": "make x"}]})
    assert "does not say how" in change_text({"itemId": "f2"}, None)
    assert "whatever lies in /elsewhere" in change_text({"grantRoot": "/elsewhere"}, CHANGES)
    moved = [{"path": "a", "kind": {"type": "update", "move_path": "b"}, "diff": ""}]
    assert change_text({}, moved).startswith("update a -> b")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_interrupts_the_turn(tmp_path: Path, signum: int) -> None:
    with driving(tmp_path, "cancel") as driver:
        driver.until(EventKind.DELTA, "working")
        driver.interrupt(signum)
        verdict = driver.finish()
        assert not alive(driver.noted("child")["pid"]), "the tool it left behind, deaf to SIGTERM"
    assert verdict.reason is Failure.CANCELLED
    assert told(driver, "turn/interrupt")["threadId"] == THREAD
    assert driver.noted("eof"), "it could end by itself"


def test_who_does_not_listen_is_ended_with_all_it_started(tmp_path: Path) -> None:
    with driving(tmp_path, "stubborn", quick={"cancel_ms": 100, "close_ms": 100}) as driver:
        driver.until(EventKind.DELTA, "working")
        driver.interrupt()
        verdict = driver.finish()
        assert not alive(driver.noted("child")["pid"])
    assert verdict.reason is Failure.CANCELLED


def test_a_question_is_taken_back_when_the_turn_is_interrupted(tmp_path: Path) -> None:
    with driving(tmp_path, "ask:command") as driver:
        driver.until(EventKind.NEEDS_USER)
        driver.interrupt()
        verdict = driver.finish()
    assert verdict.reason is Failure.CANCELLED
    assert settled(driver) == [("cancel", "policy")]


def test_who_was_ended_while_it_got_nowhere_says_why(tmp_path: Path) -> None:
    with driving(tmp_path, "unsaid") as driver:
        driver.until(EventKind.DELTA, "working")
        driver.interrupt()
        verdict = driver.finish()
    assert (verdict.reason, verdict.infrastructure) == (Failure.CONNECTION, True)
    assert verdict.message == "Connection failed: no"


@pytest.mark.parametrize(
    ("scenario", "reason", "words"),
    [
        ("fails", Failure.RATE_LIMIT, "429 Too Many Requests"),
        ("odd-end", Failure.AGENT, "the turn is exploded"),
        ("refuses", Failure.NOT_LOGGED_IN, "401 Unauthorized"),
        ("nameless", Failure.AGENT, "without an id"),
        ("dies-at-once", Failure.BAD_FLAG, "Error: Model provider `nowhere` not found"),
        ("cut", Failure.NO_RESULT, "no result"),
        ("crash", Failure.EXIT, "exit code 101"),
        ("closes", Failure.CUT_STREAM, "closed its output"),
        ("ends-badly", Failure.EXIT, "exit code 3"),
    ],
)
def test_what_goes_wrong_has_a_name(tmp_path: Path, scenario: str, reason: Failure, words: str) -> None:
    driver, verdict = ran(tmp_path, scenario, quick={"close_ms": 500})
    assert verdict.reason is reason, driver.lines[-1]
    assert words in verdict.message
    assert verdict.account is (reason is Failure.NOT_LOGGED_IN)
    assert driver.process.returncode == 1


def test_one_that_never_answers_is_given_up(tmp_path: Path) -> None:
    _, verdict = ran(tmp_path, "silent", quick={"start_ms": 300, "close_ms": 100})
    assert verdict.reason is Failure.NO_RESULT
    assert "initialize within 0.3 s" in verdict.message


def test_what_cannot_be_started_is_said(tmp_path: Path) -> None:
    _, verdict = ran(tmp_path, "", command=[sys.executable, "-c", "raise SystemExit(127)"])
    assert verdict.reason is Failure.EXIT


def test_values_of_the_wrong_shape_break_nothing(tmp_path: Path) -> None:
    driver, verdict = ran(tmp_path, "surprises", options={"permissions": "deny"})
    assert verdict.ok, driver.lines[-1]
    assert verdict.output == "Done."
    assert (tmp_path / "stderr").read_text() == "", "not even a traceback"


def test_a_line_nobody_can_hold_is_passed_over(tmp_path: Path) -> None:
    driver, verdict = ran(tmp_path, "huge")
    assert verdict.ok
    assert any(one["data"].get("skipped_bytes", 0) > 50 << 20 for one in driver.lines)

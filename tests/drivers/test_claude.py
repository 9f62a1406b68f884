"""The driver of Claude Code with a scripted one, as a process: what a holder starts, types and reads."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from providers.base import EventKind, Failure, Source, Usage
from tests.drivers.driving import Driving, alive
from tests.drivers.driving import driving as driving_any
from tests.support.claude_agent import QUESTIONS, SESSION, SUGGESTED, WRITE

UUID = "0abc0000-0000-4000-8000-000000000009"
USED = Usage(15, 4, 0.5, Source.REPORTED, 5, "model-1")


def driving(folder: Path, scenario: str, **how: Any) -> Any:
    return driving_any(folder, scenario, provider="claude", **how)


def ran(folder: Path, scenario: str, **how: Any) -> tuple[Driving, Any]:
    with driving(folder, scenario, **how) as driver:
        verdict = driver.finish()
    return driver, verdict


def answers(driver: Driving) -> list[dict[str, Any]]:
    return list(driver.noted("answers")["answers"].values())


def settled(driver: Driving) -> list[tuple[str, str]]:
    return [(one["data"]["decision"], one["data"]["by"]) for one in driver.lines if "answered" in one["data"]]


@pytest.mark.parametrize("scenario", ["ok", "old-ok"])
def test_a_turn_is_told_in_neutral_words(tmp_path: Path, scenario: str) -> None:
    driver, verdict = ran(tmp_path, scenario)
    assert verdict.ok
    assert (verdict.output, verdict.session, verdict.usage) == ("Done: Do it", SESSION, USED)
    assert [kind for kind in driver.kinds() if kind != "unknown"] == ["init", "message", "usage", "result"]
    hello, prompt, eof = driver.notes[1:4]
    assert hello["said"]["request"] == {"subtype": "initialize"}
    assert prompt["said"]["message"] == {"role": "user", "content": "Do it"}
    assert eof["what"] == "eof", "its input was closed, nothing more was needed"
    assert "x" * 1000 not in driver.raw[0].decode(), "what it offers is not told"


def test_it_is_told_what_a_one_shot_run_would_be(tmp_path: Path) -> None:
    options = {"allowed_tools": ["Read"], "max_turns": 5, "partial_messages": False}
    driver, _ = ran(tmp_path, "ok", options=options, resume=UUID, model="opus")
    flags = " ".join(driver.noted("flags")["flags"])
    for part in ("--permission-prompt-tool stdio", f"--resume {UUID}", "--model opus", "--max-turns 5"):
        assert part in flags
    assert "--include-partial-messages" not in flags


@pytest.mark.parametrize("decision", ["allow", "deny"])
def test_a_person_answers_what_was_asked(tmp_path: Path, decision: str) -> None:
    with driving(tmp_path, "tool") as driver:
        asked = driver.until(EventKind.NEEDS_USER)
        assert (asked["data"]["kind"], asked["data"]["tool"], asked["data"]["tool_id"]) == ("approval", "Write", "t1")
        assert "Write a greeting" in asked["text"]
        assert '"content": "hello\\n"' in asked["text"], "all that it would do is shown"
        driver.answer(asked, decision, "" if decision == "allow" else "not in this directory")
        verdict = driver.finish()
    (answer,) = answers(driver)
    if decision == "allow":
        assert answer == {"behavior": "allow", "updatedInput": WRITE}
    else:
        assert answer == {"behavior": "deny", "message": "not in this directory"}
    assert settled(driver) == [(decision, "person")]
    assert [one["data"]["ok"] for one in driver.lines if one["kind"] == "tool_result"] == [decision == "allow"]
    assert verdict.ok, "it went on after the refusal, so it is the agent's own success"


def test_more_is_granted_only_when_a_person_names_it_and_for_this_conversation_only(tmp_path: Path) -> None:
    with driving(tmp_path, "tool") as driver:
        asked = driver.until(EventKind.NEEDS_USER)
        once, session, _ = asked["data"]["options"]
        assert (once["lasting"], session["lasting"]) == (False, True)
        assert session["name"] == "Allow for this session: Write, acceptEdits"
        driver.answer(asked, "answer", session["name"])
        driver.finish()
    (answer,) = answers(driver)
    assert answer["updatedPermissions"] == [{**one, "destination": "session"} for one in SUGGESTED]


def test_two_requests_are_answered_in_any_order(tmp_path: Path) -> None:
    with driving(tmp_path, "tools") as driver:
        first, second = driver.until(EventKind.NEEDS_USER), driver.until(EventKind.NEEDS_USER)
        assert first["data"]["hash"] != second["data"]["hash"]
        driver.answer(second, "allow")
        driver.until(EventKind.UNKNOWN, answered=second["data"]["id"])
        driver.answer(first, "answer", "no")
        driver.finish()
    found = driver.noted("answers")["answers"]
    assert (found["r1"]["behavior"], found["r2"]["behavior"]) == ("deny", "allow")


@pytest.mark.parametrize(("policy", "behavior"), [("allow", "allow"), ("deny", "deny")])
def test_a_policy_asks_nobody(tmp_path: Path, policy: str, behavior: str) -> None:
    driver, _ = ran(tmp_path, "tool", options={"permissions": policy})
    assert "needs_user" not in driver.kinds()
    (answer,) = answers(driver)
    assert answer["behavior"] == behavior
    assert "updatedPermissions" not in answer
    assert settled(driver) == [(policy, "policy")]


def test_waiting_for_a_person_has_an_end(tmp_path: Path) -> None:
    driver, _ = ran(tmp_path, "tool", options={"permissions": "wait", "wait_for": "200ms"})
    assert settled(driver) == [("deny", "policy")]
    assert answers(driver)[0]["behavior"] == "deny"


def test_its_questions_are_asked_one_by_one(tmp_path: Path) -> None:
    with driving(tmp_path, "question") as driver:
        colour = driver.until(EventKind.NEEDS_USER)
        assert colour["data"]["kind"] == "question"
        assert colour["text"] == "Which colour?\n1. Red\n   like a rose\n2. Blue\n   like the sea"
        driver.answer(colour, "allow")
        assert driver.until(EventKind.UNKNOWN)["data"]["why"] == "no such answer"
        driver.answer(colour, "answer", "2")
        sizes = driver.until(EventKind.NEEDS_USER)
        assert "several may be chosen" in sizes["text"]
        driver.answer(sizes, "answer", "S, and something quite else")
        driver.finish()
    (answer,) = answers(driver)
    told = {"Which colour?": "Blue", "Which sizes?": "S, and something quite else"}
    assert answer == {"behavior": "allow", "updatedInput": {"questions": QUESTIONS, "answers": told}}


@pytest.mark.parametrize("policy", ["allow", "deny"])
def test_a_question_nobody_is_there_for_is_refused(tmp_path: Path, policy: str) -> None:
    driver, verdict = ran(tmp_path, "question", options={"permissions": policy})
    assert answers(driver)[0]["behavior"] == "deny"
    assert verdict.ok


def test_a_question_of_another_shape_is_a_tool_like_any_other(tmp_path: Path) -> None:
    with driving(tmp_path, "strange-question") as driver:
        asked = driver.until(EventKind.NEEDS_USER)
        assert asked["data"]["kind"] == "approval"
        driver.answer(asked, "deny")
        assert driver.finish().ok


def test_a_request_it_takes_back_is_open_no_longer(tmp_path: Path) -> None:
    with driving(tmp_path, "withdraws") as driver:
        first, second = driver.until(EventKind.NEEDS_USER), driver.until(EventKind.NEEDS_USER)
        driver.answer(second, "allow")
        driver.until(EventKind.UNKNOWN, answered=first["data"]["id"])
        third = driver.until(EventKind.NEEDS_USER)
        driver.answer(first, "allow")
        assert driver.until(EventKind.UNKNOWN, refused=first["data"]["id"])["data"]["why"] == "not pending"
        driver.answer(third, "allow")
        assert driver.finish().ok
    assert settled(driver) == [("allow", "person"), ("cancel", "agent"), ("allow", "person")]


def test_what_is_not_offered_is_refused(tmp_path: Path) -> None:
    driver, verdict = ran(tmp_path, "unoffered")
    assert driver.noted("unoffered")["answer"]["response"]["subtype"] == "error"
    assert verdict.ok


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("scenario", ["cancel", "old-cancel"])
def test_a_signal_interrupts_by_protocol(tmp_path: Path, signum: int, scenario: str) -> None:
    with driving(tmp_path, scenario) as driver:
        driver.until(EventKind.MESSAGE, "working")
        driver.interrupt(signum)
        verdict = driver.finish()
        assert not alive(driver.noted("child")["pid"]), "the tool it left behind"
    assert verdict.reason is Failure.CANCELLED
    assert verdict.usage == USED, "what was spent is known"
    assert driver.noted("eof"), "it could end by itself"


def test_a_question_is_taken_back_when_the_turn_is_cancelled(tmp_path: Path) -> None:
    with driving(tmp_path, "tool") as driver:
        driver.until(EventKind.NEEDS_USER)
        driver.interrupt()
        verdict = driver.finish()
    assert verdict.reason is Failure.CANCELLED
    assert settled(driver)[0][0] == "cancel"
    requests = [note["said"]["request"] for note in driver.notes if note["what"] == "control_request"]
    assert requests == [{"subtype": "initialize"}, {"subtype": "interrupt"}]


def test_who_does_not_cancel_is_ended_with_all_it_started(tmp_path: Path) -> None:
    with driving(tmp_path, "stubborn", quick={"cancel_ms": 100, "close_ms": 100}) as driver:
        driver.until(EventKind.MESSAGE, "working")
        driver.interrupt()
        verdict = driver.finish()
        assert not alive(driver.noted("child")["pid"]), "in a session of its own, deaf to SIGTERM"
    assert verdict.reason is Failure.CANCELLED


@pytest.mark.parametrize("scenario", ["leaves", "lingers"])
def test_nothing_is_left_after_a_good_end_either(tmp_path: Path, scenario: str) -> None:
    with driving(tmp_path, scenario, quick={"close_ms": 200}) as driver:
        verdict = driver.finish()
        assert not alive(driver.noted("child")["pid"])
    assert verdict.ok


def test_what_runs_on_in_the_background_is_waited_for_and_can_ask(tmp_path: Path) -> None:
    with driving(tmp_path, "background") as driver:
        driver.answer(driver.until(EventKind.NEEDS_USER), "allow")
        verdict = driver.finish()
    assert verdict.ok
    used = Usage(45, 12, 1.5, Source.REPORTED, 15, "model-1")
    assert (verdict.output, verdict.usage) == ("Done: Do it", used), "of all its turns"
    assert driver.kinds().count("result") == 1


def test_an_end_in_the_background_that_begins_no_turn_is_the_end(tmp_path: Path) -> None:
    _, verdict = ran(tmp_path, "background-unheard")
    assert (verdict.ok, verdict.output) == (True, "It runs on.")


def test_what_runs_in_the_background_is_ended_by_a_cancel(tmp_path: Path) -> None:
    with driving(tmp_path, "background-for-ever", quick={"cancel_ms": 3_600_000}) as driver:
        driver.until(EventKind.MESSAGE, "in vain")
        driver.interrupt()
        verdict = driver.finish()
        assert not alive(driver.noted("child")["pid"])
    assert verdict.reason is Failure.CANCELLED


@pytest.mark.parametrize(
    ("scenario", "reason", "words"),
    [
        ("crash", Failure.SIGNAL, "fatal: out of ideas"),
        ("dies-at-once", Failure.BAD_FLAG, "--permission-prompt-tool"),
        ("cut", Failure.NO_RESULT, "it gave no result"),
        ("closes", Failure.CUT_STREAM, "closed its output"),
        ("bad-exit", Failure.EXIT, "Done: Do it"),
        ("refuses", Failure.AGENT, "not today"),
        ("unknown-session", Failure.UNKNOWN_SESSION, "No conversation found"),
        ("denied-key", Failure.NOT_LOGGED_IN, "401"),
    ],
)
def test_what_goes_wrong_has_a_name(tmp_path: Path, scenario: str, reason: Failure, words: str) -> None:
    driver, verdict = ran(tmp_path, scenario, quick={"close_ms": 200})
    assert verdict.reason is reason, driver.lines[-1]
    assert words in verdict.message
    assert verdict.account is (reason is Failure.NOT_LOGGED_IN)
    assert verdict.infrastructure is (reason is Failure.UNKNOWN_SESSION), "the next one begins anew"
    assert driver.process.returncode == 1


def test_one_that_never_answers_is_given_up(tmp_path: Path) -> None:
    _, verdict = ran(tmp_path, "silent", quick={"start_ms": 300, "close_ms": 100})
    assert verdict.reason is Failure.NO_RESULT
    assert "initialize within 0.3 s" in verdict.message


@pytest.mark.parametrize("scenario", ["garbage", "huge", "surprises"])
def test_what_nobody_can_read_is_told_and_passed_over(tmp_path: Path, scenario: str) -> None:
    driver, verdict = ran(tmp_path, scenario, options={"permissions": "allow"})
    assert (verdict.ok, verdict.output) == (True, "Done: Do it"), driver.lines[-1]
    if scenario == "garbage":
        assert sum(one["data"].get("malformed", False) for one in driver.lines) == 23
    if scenario == "huge":
        assert any(one["data"].get("skipped_bytes", 0) > 50 << 20 for one in driver.lines)

"""The driver with a scripted ACP agent, as a process: what a holder starts, types and reads."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from providers.base import EventKind, Failure, Source, Usage
from providers.driven import answer_line
from tests.drivers.driving import Driving, alive, driving


def ran(folder: Path, scenario: str, **how: Any) -> tuple[Driving, Any]:
    with driving(folder, scenario, **how) as driver:
        verdict = driver.finish()
    return driver, verdict


def test_a_turn_is_told_in_neutral_words(tmp_path: Path) -> None:
    driver, verdict = ran(tmp_path, "ok")
    assert verdict.ok
    assert verdict.output == "On it."
    assert verdict.session == "sess-1"
    assert verdict.usage == Usage(15, 4, 0.75, Source.REPORTED)
    told = [kind for kind in driver.kinds() if kind != "unknown"]
    assert told == ["init", "thinking", "delta", "delta", "message", "usage", "result"]
    assert driver.noted("eof"), "its input was closed, nothing more was needed"
    hello = driver.noted("initialize")["params"]
    assert hello["clientCapabilities"]["fs"] == {"readTextFile": False, "writeTextFile": False}
    assert hello["clientCapabilities"]["terminal"] is False
    assert driver.noted("session/new")["params"] == {"cwd": str(tmp_path), "mcpServers": []}
    assert driver.noted("session/prompt")["params"]["prompt"] == [{"type": "text", "text": "Do it"}]


@pytest.mark.parametrize(("decision", "taken", "ok"), [("allow", "once", True), ("deny", "no", True)])
def test_a_person_answers_what_was_asked(tmp_path: Path, decision: str, taken: str, ok: bool) -> None:
    with driving(tmp_path, "tool") as driver:
        asked = driver.until(EventKind.NEEDS_USER)
        assert asked["data"]["kind"] == "approval"
        assert "Write hello.txt" in asked["text"]
        assert '"content": "hello\\n"' in asked["text"], "all that it would do is shown"
        driver.answer(asked, decision)
        verdict = driver.finish()
    assert driver.noted("outcomes")["outcomes"] == {"p0": {"outcome": "selected", "optionId": taken}}
    settled = next(one["data"] for one in driver.lines if "answered" in one["data"])
    assert (settled["answered"], settled["decision"], settled["by"]) == (asked["data"]["id"], decision, "person")
    results = [one["data"]["ok"] for one in driver.lines if one["kind"] == "tool_result"]
    assert results == [decision == "allow"]
    assert driver.kinds().count("tool_use") == 1
    assert verdict.ok is ok, "it went on after the refusal, so it is the agent's own success"


def test_only_the_very_question_can_be_answered(tmp_path: Path) -> None:
    with driving(tmp_path, "tools") as driver:
        first, second = driver.until(EventKind.NEEDS_USER), driver.until(EventKind.NEEDS_USER)
        assert first["data"]["id"] != second["data"]["id"]
        assert first["data"]["hash"] != second["data"]["hash"]
        ident, digest = first["data"]["id"], first["data"]["hash"]
        for line in (
            answer_line("nothing", digest, "allow"),
            answer_line(ident, second["data"]["hash"], "allow"),
            answer_line(ident, digest, "answer", "an option it does not have"),
            json.dumps({"answer": ident, "hash": digest, "decision": "perhaps"}).encode() + b"\n",
            b"yes please\n",
            b"\x1b[A" + b"x" * (300 << 10) + b"\n",
        ):
            driver.type(line)
            refused = driver.until(EventKind.UNKNOWN)["data"]
            assert "refused" in refused, "nothing but that was done"
        driver.answer(second, "answer", "Allow for this session")
        driver.until(EventKind.UNKNOWN, answered=second["data"]["id"])
        driver.answer(first, "deny")
        driver.until(EventKind.UNKNOWN, answered=ident)
        driver.finish()
    outcomes = driver.noted("outcomes")["outcomes"]
    assert outcomes["p0"]["optionId"] == "no"
    assert outcomes["p1"]["optionId"] == "always"


@pytest.mark.parametrize(("policy", "taken"), [("allow", "once"), ("deny", "no")])
def test_a_policy_asks_nobody(tmp_path: Path, policy: str, taken: str) -> None:
    driver, _ = ran(tmp_path, "tool", options={"permissions": policy})
    assert "needs_user" not in driver.kinds()
    assert driver.noted("outcomes")["outcomes"]["p0"]["optionId"] == taken
    settled = next(one["data"] for one in driver.lines if "answered" in one["data"])
    assert (settled["decision"], settled["by"]) == (policy, "policy")


def test_waiting_for_a_person_has_an_end(tmp_path: Path) -> None:
    driver, _ = ran(tmp_path, "tool", options={"permissions": "wait", "wait_for": "200ms"})
    asked = next(one for one in driver.lines if one["kind"] == "needs_user")
    assert asked["data"]["wait_ms"] == 200
    settled = next(one["data"] for one in driver.lines if "answered" in one["data"])
    assert (settled["decision"], settled["by"]) == ("deny", "policy")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cancels_by_protocol(tmp_path: Path, signum: int) -> None:
    with driving(tmp_path, "cancel") as driver:
        driver.until(EventKind.DELTA, "working")
        driver.interrupt(signum)
        verdict = driver.finish()
        child = driver.noted("child")["pid"]
        assert not alive(child), "the tool it left behind"
    assert verdict.reason is Failure.CANCELLED
    assert driver.noted("cancelled")
    assert driver.noted("eof"), "it could end by itself"


def test_a_question_is_taken_back_when_the_turn_is_cancelled(tmp_path: Path) -> None:
    with driving(tmp_path, "tool") as driver:
        asked = driver.until(EventKind.NEEDS_USER)
        driver.interrupt()
        verdict = driver.finish()
    assert verdict.reason is Failure.CANCELLED
    settled = next(one["data"] for one in driver.lines if "answered" in one["data"])
    assert (settled["answered"], settled["decision"]) == (asked["data"]["id"], "cancel")
    assert driver.noted("outcomes")["outcomes"] == {"p0": {"outcome": "cancelled"}}


def test_who_does_not_cancel_is_ended_with_all_it_started(tmp_path: Path) -> None:
    with driving(tmp_path, "stubborn", quick={"cancel_ms": 100, "close_ms": 100}) as driver:
        driver.until(EventKind.DELTA, "working")
        driver.interrupt()
        verdict = driver.finish()
        assert not alive(driver.noted("child")["pid"]), "in a session of its own, deaf to SIGTERM"
    assert verdict.reason is Failure.CANCELLED


def test_a_second_signal_waits_for_nothing(tmp_path: Path) -> None:
    hour = 3_600_000
    with driving(tmp_path, "stubborn", quick={"cancel_ms": hour, "close_ms": hour}) as driver:
        driver.until(EventKind.DELTA, "working")
        driver.interrupt()
        driver.interrupt(signal.SIGTERM)
        verdict = driver.finish()
    assert verdict.reason is Failure.CANCELLED


def test_a_tool_left_behind_goes_after_a_good_end_too(tmp_path: Path) -> None:
    with driving(tmp_path, "leaves") as driver:
        verdict = driver.finish()
        assert not alive(driver.noted("child")["pid"])
    assert verdict.ok


def test_a_signal_before_the_turn_ends_it_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; print('starting', flush=True); time.sleep(3600)"]
    with driving(tmp_path, "", command=command, quick={"cancel_ms": 3_600_000, "close_ms": 100}) as driver:
        driver.until(EventKind.UNKNOWN, "starting")
        driver.interrupt()
        assert driver.finish().reason is Failure.CANCELLED


@pytest.mark.parametrize(
    ("scenario", "reason", "words"),
    [
        ("crash", Failure.SIGNAL, "signal 9: fatal: out of ideas"),
        ("crash-child", Failure.EXIT, "exit code 4"),
        ("dies-at-once", Failure.EXIT, "no such profile: work"),
        ("cut", Failure.NO_RESULT, "without finishing its turn"),
        ("closes", Failure.CUT_STREAM, "closed its output"),
        ("auth", Failure.NOT_LOGGED_IN, "Authentication required"),
        ("version", Failure.AGENT, "version 99"),
        ("huge-answer", Failure.AGENT, "bytes, which nobody can read"),
        ("max_turn_requests", Failure.MAX_TURNS, "steps"),
        ("max_tokens", Failure.AGENT, "tokens"),
        ("refusal", Failure.AGENT, "On it."),
        ("what", Failure.AGENT, "nobody knows: what"),
        ("quota", Failure.RATE_LIMIT, "429 Too many requests"),
    ],
)
def test_what_goes_wrong_has_a_name(tmp_path: Path, scenario: str, reason: Failure, words: str) -> None:
    driver, verdict = ran(tmp_path, scenario, quick={"close_ms": 200})
    assert verdict.reason is reason, driver.lines[-1]
    assert words in verdict.message
    assert verdict.account is (reason is Failure.NOT_LOGGED_IN)
    assert verdict.infrastructure is (reason is Failure.RATE_LIMIT)
    assert verdict.after_ms == (41_500 if scenario == "quota" else None)
    assert driver.process.returncode == 1


def test_what_it_says_on_stderr_is_passed_on(tmp_path: Path) -> None:
    ran(tmp_path, "crash")
    assert (tmp_path / "stderr").read_text() == "fatal: out of ideas\n"


def test_an_agent_that_never_answers_is_given_up(tmp_path: Path) -> None:
    _, verdict = ran(tmp_path, "silent", quick={"start_ms": 300, "close_ms": 100})
    assert verdict.reason is Failure.NO_RESULT
    assert "initialize within 0.3 s" in verdict.message


def test_what_cannot_be_started_is_said(tmp_path: Path) -> None:
    _, verdict = ran(tmp_path, "", command=["no-such-agent-anywhere", "--acp"])
    assert verdict.reason is Failure.EXIT
    assert verdict.message == "not found: no-such-agent-anywhere (looked on the task's PATH)"


def test_garbage_is_told_and_passed_over(tmp_path: Path) -> None:
    driver, verdict = ran(tmp_path, "garbage")
    assert verdict.ok
    garbage = [one for one in driver.lines if one["data"].get("malformed")]
    assert len(garbage) == 50, "a flood is not repeated"
    assert garbage[0]["text"].startswith("this is no JSON 0")


def test_a_program_that_speaks_another_language_is_quoted(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('Welcome to the wizard!', flush=True); input(); input()"]
    with driving(tmp_path, "", command=command, quick={"start_ms": 500}) as driver:
        verdict = driver.finish()
    assert not verdict.ok
    assert "Welcome to the wizard!" in json.dumps(driver.lines)


def test_values_of_the_wrong_shape_hurt_nobody(tmp_path: Path) -> None:
    driver, verdict = ran(tmp_path, "surprises")
    assert verdict.ok, verdict.message
    assert driver.noted("fs")["answer"]["error"]["code"] == -32601
    assert (tmp_path / "stderr").read_text() == ""


def test_a_line_of_50_mb_is_skipped(tmp_path: Path) -> None:
    driver, verdict = ran(tmp_path, "huge")
    assert verdict.ok
    assert verdict.output == "On it.Survived."
    (skipped,) = [one["data"]["skipped_bytes"] for one in driver.lines if "skipped_bytes" in one["data"]]
    assert skipped > 50 << 20


def test_a_message_of_2_mb_is_cut_and_says_so(tmp_path: Path) -> None:
    driver, verdict = ran(tmp_path, "long")
    assert verdict.ok
    message = next(one for one in driver.lines if one["kind"] == "message")
    assert message["data"]["cut"]["text"] == len("On it.") + (2 << 20)
    delta = next(one for one in driver.lines if "cut" in one["data"])
    assert delta["data"]["cut"]["bytes"] > 2 << 20
    assert delta["text"].endswith("more characters]")


def test_an_answer_begun_again_and_again_is_a_retry(tmp_path: Path) -> None:
    """Nothing else tells of it, and some agents do it for ever: limits count these."""
    driver, _ = ran(tmp_path, "repeats")
    assert [one["data"]["attempt"] for one in driver.lines if one["kind"] == "retry"] == [1, 2, 3]


def test_an_earlier_conversation_is_gone_on_with(tmp_path: Path) -> None:
    driver, verdict = ran(tmp_path, "loads", resume="sess-1")
    assert verdict.ok
    assert verdict.session == "sess-1"
    assert verdict.usage.cost_usd == 0.25, "what it cost before is not this attempt's"
    assert "tool_use" not in driver.kinds(), "what was done before is not done again"
    assert "something said earlier" not in json.dumps([one["text"] for one in driver.lines])
    assert any(one["data"].get("replayed") == 3 for one in driver.lines)
    assert not [note for note in driver.notes if note["what"] == "session/new"]


def test_what_is_replayed_late_is_not_said_anew(tmp_path: Path) -> None:
    _, verdict = ran(tmp_path, "loads-late", resume="sess-1")
    assert verdict.output == "On it."


def test_a_conversation_nobody_knows(tmp_path: Path) -> None:
    _, verdict = ran(tmp_path, "loads", resume="sess-9")
    assert (verdict.reason, verdict.infrastructure) == (Failure.UNKNOWN_SESSION, True), "the next one begins anew"


def test_an_agent_that_cannot_resume_says_so(tmp_path: Path) -> None:
    driver, verdict = ran(tmp_path, "ok", resume="sess-1")
    assert (verdict.reason, verdict.infrastructure) == (Failure.UNKNOWN_SESSION, True), "the next one begins anew"
    assert "not resumable" in verdict.message
    assert not [note for note in driver.notes if note["what"] == "session/prompt"]


def test_mode_and_model_are_chosen_before_the_prompt(tmp_path: Path) -> None:
    driver, verdict = ran(tmp_path, "ok", options={"mode": "plan"}, model="big")
    assert verdict.ok
    assert driver.noted("session/set_mode")["params"]["modeId"] == "plan"
    assert driver.noted("session/set_config_option")["params"]["value"] == "big"
    assert [note["what"] for note in driver.notes][-2:] == ["session/prompt", "eof"]


@pytest.mark.parametrize(
    ("how", "reason"),
    [({"options": {"mode": "yolo"}}, Failure.BAD_FLAG), ({"model": "huge"}, Failure.BAD_MODEL)],
)
def test_a_mode_or_model_it_lacks_costs_no_prompt(tmp_path: Path, how: dict[str, Any], reason: Failure) -> None:
    driver, verdict = ran(tmp_path, "ok", **how)
    assert verdict.reason is reason
    assert "only: " in verdict.message
    assert not [note for note in driver.notes if note["what"] == "session/prompt"]

"""The driver of opencode with a scripted server: streams cut, requests taken back, crashes, hostile events."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from lite.drivers.opencode_asks import approval_text, rules, words_of
from providers.base import EventKind, Failure, Source, Usage
from tests.drivers.driving import Driving, alive
from tests.drivers.driving import driving as driving_any
from tests.support import opencode_server

SCRIPT = str(Path(opencode_server.__file__))
SES, MSG = "ses_1", "msg_2"
PROMPT = f"/session/{SES}/prompt_async"
ALLOW_ALL = {"permission": "*", "pattern": "*", "action": "allow"}
Wire = list[tuple[str, Any]]


def event(kind: str, **properties: Any) -> tuple[str, Any]:
    return "<", {"type": kind, "properties": {"sessionID": SES, **properties}}


def message(ident: str = MSG, **more: Any) -> dict[str, Any]:
    return {"id": ident, "sessionID": SES, "role": "assistant", **more}


def part(ident: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"id": ident, "sessionID": SES, "messageID": MSG, "type": kind, **more}


def told(one: dict[str, Any]) -> tuple[str, Any]:
    return event("message.part.updated", part=one)


def delta(text: str, ident: str = "prt_text") -> tuple[str, Any]:
    return event("message.part.delta", messageID=MSG, partID=ident, field="text", delta=text)


def text(said: str, *, over: bool = True, ident: str = "prt_text") -> dict[str, Any]:
    return part(ident, "text", text=said, time={"start": 1, "end": 2} if over else {"start": 1})


def tool(status: str, **more: Any) -> dict[str, Any]:
    return part("prt_tool", "tool", tool="bash", callID="c1", state={"status": status, "input": {"x": 1}, **more})


def finish(reason: str = "stop", ident: str = "prt_finish") -> dict[str, Any]:
    return part(ident, "step-finish", reason=reason, tokens={"input": 10, "output": 2}, cost=0.5)


STEP = part("prt_start", "step-start")
ASKED = {"id": "per_1", "sessionID": SES, "permission": "bash", "patterns": ["ls"], "metadata": {"command": "ls -l"}}
IDLE = event("session.idle")


def answers(kept: list[dict[str, Any]], *, pending: list[dict[str, Any]] | None = None) -> Wire:
    """What it answers; `kept` are the parts of the answer as they are kept at the end."""
    found: Wire = [
        ("=", ["GET", "/global/health", 200, {"healthy": True, "version": "1.2"}]),
        ("=", ["GET", "/agent", 200, [{"name": "build", "mode": "primary", "permission": [ALLOW_ALL]}]]),
        ("=", ["POST", "/session", 200, {"id": SES, "directory": "/project"}]),
        ("=", ["POST", PROMPT, 204, None]),
        ("=", ["POST", f"/session/{SES}/abort", 200, True]),
        ("=", ["POST", "/permission/per_1/reply", 200, True]),
        ("=", ["GET", "/permission", 200, pending or []]),
        ("=", ["GET", "/question", 200, []]),
        ("=", ["GET", "/session/status", 200, {}]),
        ("=", ["GET", f"/session/{SES}/message", 200, [{"info": message(), "parts": kept}]]),
    ]
    return found


def begins(*more: tuple[str, Any]) -> Wire:
    head: Wire = [event("server.connected"), (">", ["POST", PROMPT, None]), event("message.updated", info=message())]
    return [*head, event("session.status", status={"type": "busy"}), told(STEP), *more]


def driving(folder: Path, wire: Wire, **how: Any) -> Any:
    path = folder / "wire.jsonl"
    path.write_text("".join(f"{mark} {json.dumps(said)}\n" for mark, said in wire))
    command = [sys.executable, SCRIPT, str(path), str(folder / "notes.jsonl")]
    how["quick"] = {"close_ms": 1, **how.get("quick", {})}
    return driving_any(folder, "", provider="opencode", command=command, **how)


def ran(folder: Path, wire: Wire, **how: Any) -> tuple[Driving, Any]:
    with driving(folder, wire, **how) as driver:
        verdict = driver.finish()
    return driver, verdict


def said(driver: Driving, kind: str) -> list[str]:
    return [one["text"] for one in driver.lines if one["kind"] == kind]


def test_a_turn_is_told_in_neutral_words(tmp_path: Path) -> None:
    parts = [STEP, text("On it."), finish()]
    wire = begins(told(text("", over=False)), delta("On "), delta("it."), *map(told, parts[1:]), IDLE)
    driver, verdict = ran(tmp_path, [*answers(parts), *wire], model="ours/m-1", options={"agent": "build"})
    assert (verdict.ok, verdict.output, verdict.session) == (True, "On it.", SES)
    assert verdict.usage == Usage(10, 2, 0.5, Source.REPORTED)
    assert driver.kinds() == ["init", "delta", "delta", "message", "usage", "result"]
    started = driver.noted("started")
    assert started["arguments"][:5] == ["serve", "--hostname", "127.0.0.1", "--port", "0"]
    assert started["hidden"], "its password is in no argument"
    assert "stranger" not in [note["what"] for note in driver.notes], "every request had the password"
    body = driver.noted(f"POST {PROMPT}")["body"]
    assert body["model"] == {"providerID": "ours", "modelID": "m-1"}
    assert body["agent"] == "build"
    assert body["parts"] == [{"type": "text", "text": "Do it"}]


def test_nothing_is_lost_or_told_twice_when_the_stream_is_cut(tmp_path: Path) -> None:
    whole = "One two three four."
    parts = [STEP, text(whole), tool("completed", output="done"), finish()]
    wire = begins(told(text("", over=False)), delta("One "), delta("two "), ("!", ["cut"]))
    # "three " is lost with the connection
    wire += [event("server.connected"), delta("four."), told(text(whole)), told(tool("running"))]
    wire += [("!", ["cut"]), event("server.connected"), *map(told, parts), IDLE]
    kept = answers(parts)
    early = [STEP, text("", over=False)]  # what is being said is kept once it is whole
    kept.insert(-1, ("=", ["GET", f"/session/{SES}/message", 200, [{"info": message(), "parts": early}]]))
    kept.insert(-2, ("=", ["GET", "/session/status", 200, {SES: {"type": "busy"}}]))
    driver, verdict = ran(tmp_path, [*kept, *wire])
    assert verdict.ok, driver.lines
    assert verdict.usage == Usage(10, 2, 0.5, Source.REPORTED)
    assert "".join(said(driver, "delta")) == whole
    assert said(driver, "message") == [whole]
    assert said(driver, "tool_use") == ["bash"]
    assert said(driver, "tool_result") == ["done"]
    assert [note["what"] for note in driver.notes].count(f"POST {PROMPT}") == 1


def test_an_end_that_nobody_told_is_found(tmp_path: Path) -> None:
    parts = [STEP, text("Quietly."), finish()]
    driver, verdict = ran(tmp_path, [*answers(parts), *begins(("!", ["cut"])), event("server.connected")])
    assert (verdict.ok, verdict.output) == (True, "Quietly.")
    assert said(driver, "delta") == ["Quietly."]


def test_what_was_asked_while_nobody_heard_is_asked(tmp_path: Path) -> None:
    parts = [STEP, tool("completed", output="a file"), text("Done."), finish()]
    kept = answers(parts, pending=[ASKED])
    kept.insert(-2, ("=", ["GET", "/session/status", 200, {SES: {"type": "busy"}}]))
    reply = (">", ["POST", "/permission/per_1/reply", {"reply": "once"}])
    wire = [*begins(("!", ["cut"])), event("server.connected"), reply, IDLE]
    with driving(tmp_path, [*kept, *wire]) as driver:
        asked = driver.until(EventKind.NEEDS_USER)
        assert asked["text"].startswith("bash: ls -l")
        driver.answer(asked, "allow")
        verdict = driver.finish()
    assert verdict.ok
    assert "unlike" not in [note["what"] for note in driver.notes], "for this once, not always"


def test_what_is_settled_without_us_is_taken_back(tmp_path: Path) -> None:
    parts = [STEP, text("On."), finish()]
    settled = event("permission.replied", requestID="per_1", reply="reject")
    asked = ("<", {"type": "permission.asked", "properties": ASKED})
    driver, verdict = ran(tmp_path, [*answers(parts), *begins(asked, settled, *map(told, parts), IDLE)])
    question = next(one["data"] for one in driver.lines if one["kind"] == "needs_user")
    taken = next(one["data"] for one in driver.lines if "answered" in one["data"])
    assert (taken["answered"], taken["decision"]) == (question["id"], "cancel")
    assert verdict.ok
    assert not [note for note in driver.notes if "reply" in note["what"]]


@pytest.mark.parametrize("policy", ["allow", "deny"])
def test_a_policy_asks_nobody(tmp_path: Path, policy: str) -> None:
    parts = [STEP, text("On."), finish()]
    asked = ("<", {"type": "permission.asked", "properties": ASKED})
    reply = (">", ["POST", "/permission/per_1/reply", None])
    wire = begins(asked, reply, *map(told, parts), IDLE)
    driver, _ = ran(tmp_path, [*answers(parts), *wire], options={"permissions": policy})
    assert "needs_user" not in driver.kinds()
    body = driver.noted("POST /permission/per_1/reply")["body"]
    assert body["reply"] == ("once" if policy == "allow" else "reject")
    asks = driver.noted("POST /session")["body"].get("permission", [])
    assert bool(asks) is (policy == "deny"), "who allows everything need not be asked"


def test_a_signal_aborts_the_turn_and_leaves_nothing(tmp_path: Path) -> None:
    abort = (">", ["POST", f"/session/{SES}/abort", None])
    wire = begins(told(tool("running")), ("!", ["child"]), delta("x"), event("todo.updated"), abort, IDLE)
    with driving(tmp_path, [*answers([STEP]), *wire]) as driver:
        driver.until(EventKind.UNKNOWN, type="todo.updated")
        child = driver.noted("child")["pid"]
        driver.interrupt()
        verdict = driver.finish()
        assert not alive(child), "deaf to SIGTERM, in a session of its own"
    assert verdict.reason is Failure.CANCELLED
    assert driver.noted(f"POST /session/{SES}/abort")


def test_an_answer_that_is_cut_again_and_again_is_no_progress(tmp_path: Path) -> None:
    wire = begins(told(text("", over=False)), delta("This will"), told(text("This will")), told(finish("unknown")))
    for at in range(3):
        again = f"prt_again{at}"
        wire += [told(part(f"prt_start{at}", "step-start")), told(text("", over=False, ident=again))]
        wire += [delta("This will", again), told(text("This will", ident=again))]
        wire += [told(finish("unknown", f"prt_finish{at}"))]
    driver, verdict = ran(tmp_path, [*answers([STEP]), *wire, IDLE])
    kinds = driver.kinds()
    assert kinds.count("retry") == 4
    after = kinds[kinds.index("retry") :]
    assert set(after) == {"retry", "unknown", "usage", "result"}, "what is told again counts for nothing"
    assert verdict.reason is Failure.CUT_STREAM
    assert verdict.infrastructure


@pytest.mark.parametrize(
    ("wire", "reason", "words"),
    [
        ([("!", ["no start"])], Failure.BAD_FLAG, "Config file at nowhere"),
        ([("!", ["no port"])], Failure.NO_RESULT, "where it listens"),
        (begins(("!", ["exit", 3])), Failure.EXIT, "exit code 3: it crashed"),
        (begins(event("session.error", error={"name": "ProviderAuthError"}), IDLE), Failure.NOT_LOGGED_IN, ""),
        (begins(IDLE), Failure.NO_RESULT, ""),
    ],
    ids=["config", "port", "crash", "login", "silence"],
)
def test_what_goes_wrong_has_a_name(tmp_path: Path, wire: Wire, reason: Failure, words: str) -> None:
    kept = [] if wire[0][0] == "!" else answers([])
    driver, verdict = ran(tmp_path, [*wire, *kept], quick={"start_ms": 3_000})
    assert verdict.reason is reason, driver.lines
    assert words in verdict.message


def test_an_agent_it_does_not_have_is_not_replaced(tmp_path: Path) -> None:
    driver, verdict = ran(tmp_path, answers([]), options={"agent": "nobody"})
    assert (verdict.reason, verdict.message) == (Failure.BAD_FLAG, "opencode has no agent 'nobody', only: build")
    assert "init" not in driver.kinds()


def test_it_goes_on_only_where_the_conversation_began(tmp_path: Path) -> None:
    wire = [*answers([]), ("=", ["GET", f"/session/{SES}", 200, {"id": SES, "directory": "/elsewhere"}])]
    _, verdict = ran(tmp_path, wire, resume=SES)
    assert verdict.reason is Failure.UNKNOWN_SESSION
    assert "/elsewhere" in verdict.message


def test_hostile_events_are_passed_over(tmp_path: Path) -> None:
    parts = [STEP, text("Fine."), finish()]
    strange: Wire = [("!", ["pour", 40 << 20]), ("<", 7), ("<", {"type": 5}), ("!", ["stdout", "noise"])]
    for shape in (None, 7, "x", [], {}, [[]], True):
        for kind in (
            "message.updated",
            "message.part.updated",
            "message.part.delta",
            "session.status",
            "session.error",
        ):
            for key in ("info", "part", "status", "error", "delta", "sessionID"):
                strange.append(event(kind, **{key: shape}))
        for one in ({"id": shape}, {"messageID": shape}, {"state": shape}, {"tokens": shape}, {"time": shape}):
            strange += [told({**part("prt_x", kind), **one}) for kind in ("text", "tool", "step-finish", "reasoning")]
        strange.append(("<", {"type": "session.created", "properties": {"info": shape}}))
    strange = [one for one in strange if one[0] == "!" or "step-finish" not in json.dumps(one)]
    driver, verdict = ran(tmp_path, [*answers(parts), *begins(*strange, *map(told, parts), IDLE)])
    assert any(one["data"].get("skipped_bytes", 0) > 40 << 20 for one in driver.lines)
    assert "Fine." in said(driver, "message")
    assert driver.process.returncode == (0 if verdict.ok else 1)


def test_only_what_nobody_decided_is_asked() -> None:
    own = [{"permission": "bash", "pattern": "git *", "action": "allow"}]
    made = rules([ALLOW_ALL, *own])
    assert made[0] == {**ALLOW_ALL, "action": "ask"}
    assert made[-1:] == own, "its configuration has the last word"
    assert {"permission": "read", "pattern": "*", "action": "allow"} in made
    assert rules([{**ALLOW_ALL, "action": "deny"}, *own]) == []
    assert rules(None) == rules([7, None]) == []


def test_all_that_would_be_done_is_shown() -> None:
    shown = approval_text({**ASKED, "metadata": {"filepath": "a", "diff": "+line"}}, by_subagent=True)
    assert shown.splitlines()[0] == "bash: ls"
    assert "+line" in shown
    assert '"filepath": "a"' in shown
    assert "subagent" in shown
    several = {"options": [{"label": "S"}, {"label": "L"}], "multiple": True}
    assert words_of("S, L", several) == ["S", "L"]
    assert words_of("S, M", several) == ["S, M"]

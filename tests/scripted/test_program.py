"""The scripted agent as a program: what it prints, how it ends, what it leaves behind."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lite.scripted.hostile import SEQUENCES
from lite.scripted.program import main
from providers.base import AgentEvent, EventKind, Request, Verdict
from providers.scripted import ScriptedProvider

SECONDS = 60.0
ASK = Request(task="t1", attempt=1, mode="headless", python=(sys.executable, "-P", "-m", "lite"))


@pytest.fixture(autouse=True)
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "session"
    folder.mkdir()
    for name, value in {
        "QD_OUTPUT": str(folder / "output"),
        "QD_TASK": "t1",
        "QD_ATTEMPT": "2",
        "QD_SESSION": "t1-2",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return folder


def play(steps: list[Any], *args: str) -> int:
    """In this process, at once."""
    Path("script.yaml").write_text(json.dumps({"steps": steps, "pace": 0}))
    return main(["script.yaml", *args])


def start(steps: list[Any], *args: str, **more: Any) -> subprocess.Popen[bytes]:
    Path("script.yaml").write_text(json.dumps({"steps": steps, "pace": 0}))
    command = [sys.executable, "-P", "-m", "lite", "_scripted", "script.yaml", *args]
    pipe = subprocess.PIPE
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=env, **more)


def run(steps: list[Any], *args: str, text: bytes = b"") -> tuple[int, bytes, bytes]:
    process = start(steps, *args)
    out, err = process.communicate(text, SECONDS)
    return process.returncode, out, err


def judged(out: bytes, exit_code: int) -> tuple[list[AgentEvent], Verdict]:
    parser = ScriptedProvider().parser(ASK)
    events = list(parser.feed("out", out))
    return events, parser.end(exit_code, None)


def states(out: str) -> list[str]:
    return [part.split("\x1b")[0] for part in out.split("\x1b]7501;")[1:]]


def test_interactive_it_tells_its_states(capfd: pytest.CaptureFixture[str]) -> None:
    assert play([{"say": "Hello"}, {"type": "typed"}, {"work": 1, "label": "Building"}]) == 0
    out = capfd.readouterr().out
    assert states(out) == ["state=working:app=scripted", "state=done:app=scripted"]
    assert "Hello\n" in out
    assert "typed\n" in out
    assert "Building [" in out
    assert "100%" in out


def test_headless_it_speaks_json_only(capfd: pytest.CaptureFixture[str]) -> None:
    steps = [
        {"think": "hm"},
        {"tool": "Write", "input": {"path": "a"}, "result": "ok"},
        {"type": "two words"},
        {"retry": "overloaded"},
        {"usage": {"tokens_in": 10, "tokens_out": 2, "cost_usd": 0.5}},
        {"say": "Finished"},
    ]
    assert play(steps, "--mode", "headless") == 0
    events, verdict = judged(capfd.readouterr().out.encode(), 0)
    kinds = "init thinking tool_use tool_result delta delta message retry usage message result".split()  # noqa: SIM905
    assert [event.kind.value for event in events] == kinds
    assert verdict.ok
    assert (verdict.output, verdict.session) == ("Finished", "scripted-t1-2")
    assert (verdict.usage.tokens_in, verdict.usage.cost_usd) == (10, 0.5)


def test_a_resumed_conversation_keeps_its_id(capfd: pytest.CaptureFixture[str]) -> None:
    assert play([{"say": "again {resume}"}], "--mode", "headless", "--resume", "abc") == 0
    events, verdict = judged(capfd.readouterr().out.encode(), 0)
    assert verdict.session == "abc"
    assert events[0].data["resumed"] is True
    assert verdict.output == "again abc"


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
@pytest.mark.parametrize("mode", ["interactive", "headless"])
def test_it_asks_and_goes_on_with_the_answer(mode: str, end: bytes) -> None:
    steps = [{"ask": "Which?", "expect": "red|blue"}, {"say": "You chose {answer}"}, {"output": "{answer}"}]
    code, out, _ = run(steps, "--mode", mode, text=b"blue" + end)
    assert code == 0
    assert Path(os.environ["QD_OUTPUT"]).read_text() == "blue"
    assert b"You chose blue" in out
    if mode == "interactive":
        message = base64.b64encode(b"Which?").decode()
        blocked = f"state=blocked:app=scripted:kind=question:msg={message}"
        assert states(out.decode())[:3] == ["state=working:app=scripted", blocked, "state=working:app=scripted"]
    else:
        events, verdict = judged(out, code)
        (asked,) = [event for event in events if event.kind is EventKind.NEEDS_USER]
        assert asked.text == "Which?"
        assert verdict.output == "You chose blue"


def test_an_answer_that_does_not_fit_is_asked_for_again() -> None:
    code, out, _ = run([{"ask": "Which?", "expect": "red|blue"}], "--mode", "headless", text=b"green\nred\n")
    events, verdict = judged(out, code)
    assert [event.kind for event in events].count(EventKind.NEEDS_USER) == 2
    assert verdict.ok


def test_nobody_answers() -> None:
    code, out, _ = run([{"ask": "Which?"}], "--mode", "headless")
    assert code == 1
    events, verdict = judged(out, code)
    assert not verdict.ok
    assert "waited" in events[-1].text


@pytest.mark.parametrize(("answer", "ok"), [(b"y\n", True), (b"n\n", False)])
def test_a_refused_approval_ends_it_with_exit_0(answer: bytes, ok: bool) -> None:
    """As real agents do: the exit code alone would lie."""
    code, out, _ = run([{"approve": "Run rm?"}, {"say": "done"}], "--mode", "headless", text=answer)
    assert code == 0
    events, verdict = judged(out, code)
    assert verdict.ok is ok
    assert verdict.reason == ("" if ok else "tool-refused")
    assert next(event for event in events if event.kind is EventKind.NEEDS_USER).data["kind"] == "permission"


def test_needs_output_files_and_attempts(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, session: Path
) -> None:
    (session / "before").write_text("from before")
    monkeypatch.setenv("QD_NEEDS_BUILD_API", str(session / "before"))
    (session / "prompt.txt").write_text("the prompt")
    steps = [
        {"need": "build-api"},
        {"write": "log.txt", "text": "{task} {attempt}\n", "append": True},
        {"write": "log.txt", "text": "{prompt} {needs.build-api}\n", "append": True},
        {"attempt": 1, "steps": [{"exit": 9}]},
        {"attempt": 2, "steps": [{"repeat": 2, "steps": [{"write": "log.txt", "text": "x", "append": True}]}]},
        {"run": "echo shouted && exit 3", "may_fail": True},
        {"output": "result of {task}"},
    ]
    assert play(steps, "--prompt", "@prompt.txt") == 0
    assert Path("log.txt").read_text() == "t1 2\nthe prompt from before\nxx"
    assert (session / "output").read_text() == "result of t1"
    assert "from before" in capfd.readouterr().out


def test_a_need_that_is_not_there_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    assert play([{"say": "x"}, {"need": "other"}]) == 2
    assert "script.yaml:1: need: QD_NEEDS_OTHER is not set" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("steps", "code", "reason"),
    [
        ([{"exit": 3}], 3, "exit"),
        ([{"exit": 0, "silent": True}], 0, "no-result"),
        ([{"result": "no", "ok": False, "reason": "rate-limit", "infrastructure": True}], 0, "rate-limit"),
        ([{"run": "exit 4"}], 1, "exit"),
    ],
)
def test_it_fails_as_told(steps: list[Any], code: int, reason: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert play(steps, "--mode", "headless") == code
    _, verdict = judged(capfd.readouterr().out.encode(), code)
    assert not verdict.ok
    assert verdict.reason == reason
    assert verdict.infrastructure == (reason == "rate-limit")


def test_a_crash_is_a_traceback_and_exit_1() -> None:
    code, _, err = run([{"crash": "out of luck"}])
    assert code == 1
    assert b"out of luck" in err


@pytest.mark.parametrize("name", ["KILL", "TERM", "INT"])
def test_it_dies_of_the_signal_told(name: str) -> None:
    assert run([{"kill": name}])[0] == -signal.Signals[f"SIG{name}"]


def test_ignored_signals_are_ignored() -> None:
    process = start([{"ignore": ["TERM", "HUP", "INT"]}, {"say": "ready"}, {"hang": True}], "--mode", "headless")
    assert process.stdout is not None
    with process:
        for line in process.stdout:
            if b"ready" in line:
                break
        for signum in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            process.send_signal(signum)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        process.kill()
        assert process.wait(SECONDS) == -signal.SIGKILL


@pytest.mark.parametrize("pattern", ["lines", "no-newline", "binary", "utf8", "escapes"])
def test_a_flood_has_exactly_the_size_told(pattern: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert play([{"flood": "300k", "pattern": pattern}, {"exit": 0, "silent": True}], "--mode", "headless") == 0
    out = capfdbinary.readouterr().out
    assert len(out) - len(out.split(b"\n", 1)[0]) - 1 == 300 << 10
    assert (b"\n" in out.split(b"\n", 1)[1]) is (pattern != "no-newline")


def test_a_padded_event_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    assert play([{"json": {"type": "message", "text": "big"}, "pad": "1MB"}], "--mode", "headless") == 0
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 3
    assert len(json.loads(lines[1])["padding"]) == 1 << 20


def test_hostile_bytes_come_out_as_they_are(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert play([{"hostile": "all"}, {"screen": "alt"}, {"screen": "main"}, {"raw": "\x1b[31m"}]) == 0
    out = capfdbinary.readouterr().out
    for name, sequence in SEQUENCES.items():
        assert sequence in out, name
    assert b"\x1b[?1049h\x1b[H\x1b[?1049l\x1b[31m" in out


@pytest.mark.parametrize(
    "step", [{"hostile": "nothing"}, {"spawn": "rocket"}, {"screen": "split"}, {"flood": "many"}, {"ignore": "NOTHING"}]
)
def test_a_value_that_means_nothing_is_named(step: Mapping[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    assert play([step]) == 2
    assert "script.yaml:1: " in capfd.readouterr().err


def test_a_script_that_is_not_there_or_no_text(capfd: pytest.CaptureFixture[str], session: Path) -> None:
    assert main(["missing.yaml"]) == 2
    assert "missing.yaml" in capfd.readouterr().err
    (session / "binary").write_bytes(b"\xff\xfe\x00")
    assert main(["@binary"]) == 2
    assert "not a text file" in capfd.readouterr().err


@pytest.fixture
def pids(tmp_path: Path) -> Iterator[Path]:
    """A file of pids; whatever is in it at the end is killed."""
    path = tmp_path / "pids"
    yield path
    for pid in _pids(path):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks into /proc")
@pytest.mark.parametrize("style", ["plain", "setsid", "double-fork", "nohup", "daemon", "stopped"])
def test_escapees_escape_in_their_style(style: str, pids: Path) -> None:
    steps = [{"spawn": style, "seconds": 300, "ignore": "TERM", "pids": str(pids)}, {"exit": 0}]
    process = start(steps, start_new_session=True)
    process.stdout and process.stdout.read(1)
    process.wait(SECONDS)
    (pid,) = _pids(pids)
    state, parent, group, session = _stat(pid)
    assert parent != process.pid
    assert (session != process.pid) is (style in ("setsid", "daemon"))
    assert (group != process.pid) is (style in ("setsid", "daemon"))
    assert _ignores(pid, signal.SIGTERM)
    assert _ignores(pid, signal.SIGHUP) is (style == "nohup")
    if style == "stopped":
        deadline = time.monotonic() + SECONDS
        while state != "T" and time.monotonic() < deadline:
            time.sleep(0.01)
            state = _stat(pid)[0]
        assert state == "T"
    else:
        assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x00300\x00"
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _pids(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def _stat(pid: int) -> tuple[str, int, int, int]:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], int(fields[1]), int(fields[2]), int(fields[3])


def _ignores(pid: int, signum: int) -> bool:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigIgn:"):
            return bool(int(line.split()[1], 16) >> (signum - 1) & 1)
    raise AssertionError("no SigIgn")

"""`logs`, `export`, `send`, `attach`: bytes out safely, keys in exactly."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lite.terminal import packets
from tests.cli.conftest import Qd
from tests.cli.fake import FakeSupervisor, task
from tests.cli.terminals import Holder, Terminal

OUTPUT = b"\x1b[32mone\x1b[0m\ntwo\x1b[6n\x1b]52;c;aGk=\x07\nthr\xc3"
SESSION = task()["session"]


@pytest.fixture
def recorded(supervisor: FakeSupervisor) -> FakeSupervisor:
    """One session that wrote `OUTPUT` and half a character, then the rest of it, on both streams."""
    supervisor.tasks(task())
    parts = packets.output(0, packets.OUT, OUTPUT) + packets.output(len(OUTPUT), packets.RESIZED, b"\0\1\0\1")
    parts += packets.output(len(OUTPUT) + 4, packets.OUT, b"\xa9e\n") + packets.encode(packets.EXIT, b"{}")
    supervisor.routes["GET", f"/v1/sessions/{SESSION}/recording"] = lambda query, body: (
        parts if query.get("offset", ["0"]) == ["0"] else packets.encode(packets.EXIT, b"{}")
    )
    return supervisor


def test_logs_are_text_and_colours_only_where_wanted(qd: Qd, recorded: FakeSupervisor) -> None:
    assert qd("logs", task()["id"]).out == "one\ntwo\nthrée\n"
    assert qd("logs", task()["id"], "--color", "always").out == "\x1b[32mone\x1b[0m\ntwo\nthrée\n"


def test_raw_logs_are_the_recording(recorded: FakeSupervisor, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    from lite.__main__ import main

    assert main(["logs", "--raw", task()["id"]]) == 0
    assert capfdbinary.readouterr().out == OUTPUT + b"\xa9e\n"


@pytest.mark.parametrize(("lines", "shown"), [(0, ""), (1, "thrée\n"), (2, "two\nthrée\n"), (9, "one\ntwo\nthrée\n")])
def test_a_tail_is_the_last_lines(qd: Qd, recorded: FakeSupervisor, lines: int, shown: str) -> None:
    assert qd("logs", "--tail", str(lines), task()["id"]).out == shown
    assert qd("logs", "-f", "--tail", str(lines), task()["id"]).out == shown


def test_logs_in_json_never_split_a_character(qd: Qd, recorded: FakeSupervisor) -> None:
    lines = [json.loads(line) for line in qd("logs", "--json", task()["id"]).out.splitlines()]
    assert "".join(line["text"] for line in lines) == OUTPUT[:-1].decode() + "ée\n"
    assert [line["offset"] for line in lines] == [0, len(OUTPUT) + 4]


def said(*events: tuple[str, str, dict[str, object]]) -> bytes:
    lines = [{"kind": kind, "text": text, "data": data, "offset": at} for at, (kind, text, data) in enumerate(events)]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


SAID = said(
    ("init", "", {"model": "m-1"}),
    ("delta", "Look\x1b[2Jing ", {}),
    ("delta", "at it.", {}),
    ("message", "Look\x1b[2Jing at it.", {}),
    ("tool_use", "Bash", {"input": {"command": "make"}}),
    ("tool_result", "a\nb", {"ok": True}),
    ("unknown", "", {"type": "odd"}),
    ("verdict", "no more", {"ok": False, "reason": "overloaded"}),
)
TOLD = "● m-1\n\nLooking at it.\n\n▸ Bash  make\n  │ a\n  │ b\n\n✗ overloaded: no more\n"


@pytest.fixture
def structured(recorded: FakeSupervisor) -> FakeSupervisor:
    """The same session, of an agent that speaks in events."""
    recorded.tasks(task(mode="headless"))

    def answer(query: dict[str, list[str]], body: object) -> bytes:
        at = int(query.get("offset", ["0"])[0])
        return packets.output(at, packets.OUT, SAID[at:]) + packets.encode(packets.EXIT, b"") if at < len(SAID) else b""

    recorded.routes["GET", f"/v1/sessions/{SESSION}/transcript"] = answer
    return recorded


def test_logs_of_an_agent_say_what_it_did(qd: Qd, structured: FakeSupervisor) -> None:
    for follow in ((), ("-f",)):
        assert qd("logs", task()["id"], *follow).out == TOLD
    coloured = qd("logs", task()["id"], "--color", "always").out
    assert "\x1b[36m▸ Bash\x1b[0m" in coloured
    assert "odd" in qd("logs", "--all", task()["id"]).out
    assert "odd" not in TOLD


@pytest.mark.parametrize("lines", [0, 1, 3, 5, 99])
def test_a_tail_of_what_it_did(qd: Qd, structured: FakeSupervisor, lines: int) -> None:
    ending = TOLD.splitlines(keepends=True)[-lines:] if lines else []
    assert qd("logs", "--tail", str(lines), task()["id"]).out == "".join(ending)


def test_the_recorded_bytes_of_an_agent_are_there_when_asked_for(qd: Qd, structured: FakeSupervisor) -> None:
    for asked in (("--stream", "out"), ("--offset", "0")):
        assert qd("logs", task()["id"], *asked).out == "one\ntwo\nthrée\n"
    assert "\x1b]52" in qd("logs", "--raw", task()["id"]).out


def test_logs_in_json_are_the_events(qd: Qd, structured: FakeSupervisor) -> None:
    lines = [json.loads(line) for line in qd("logs", "--json", task()["id"]).out.splitlines()]
    assert lines == [json.loads(line) for line in SAID.splitlines()]
    last = [json.loads(line) for line in qd("logs", "--json", "--tail", "2", task()["id"]).out.splitlines()]
    assert last == lines[-2:]


def test_a_headless_program_without_events_prints_its_output(qd: Qd, recorded: FakeSupervisor) -> None:
    recorded.tasks(task(mode="headless"))
    assert qd("logs", task()["id"]).out == "one\ntwo\nthrée\n"


def test_logs_of_an_attempt_that_was_not(qd: Qd, recorded: FakeSupervisor) -> None:
    assert qd("logs", "--attempt", "2", task()["id"]).code == 4
    recorded.tasks(task(session="", attempt=0))
    result = qd("logs", task()["id"])
    assert (result.code, "has not run yet" in result.err) == (4, True)


def test_export_writes_a_whole_cast_or_none(qd: Qd, supervisor: FakeSupervisor, tmp_path: Path) -> None:
    supervisor.tasks(task())
    cast = b'{"version": 3, "term": {"cols": 90, "rows": 30}, "timestamp": 5}\n'
    cast += b'[0.5, "o", "a"]\n[0.25, "o", "b"]\n[0.1, "x", "0"]\n'
    supervisor.routes["GET", f"/v1/sessions/{SESSION}/cast"] = cast
    assert qd("export", task()["id"], "--cast", "a.cast", "--json").json["bytes"] == len(cast)
    assert (tmp_path / "a.cast").read_bytes() == cast
    assert qd("export", task()["id"], "--cast", "b.cast", "--v2").code == 0
    assert [json.loads(line) for line in (tmp_path / "b.cast").read_text().splitlines()] == [
        {"version": 2, "width": 90, "height": 30, "timestamp": 5},
        [0.5, "o", "a"],
        [0.75, "o", "b"],
    ]
    del supervisor.routes["GET", f"/v1/sessions/{SESSION}/cast"]
    assert qd("export", task()["id"], "--cast", "c.cast").code == 4
    assert sorted(path.name for path in tmp_path.glob("*cast*")) == ["a.cast", "b.cast"]


def test_export_writes_into_a_pipe_and_never_replaces_it(qd: Qd, supervisor: FakeSupervisor, tmp_path: Path) -> None:
    supervisor.tasks(task())
    supervisor.routes["GET", f"/v1/sessions/{SESSION}/cast"] = b'{"version": 3}\n'
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE) as reader:
        assert qd("export", task()["id"], "--cast", "pipe").code == 0
        assert reader.communicate()[0] == b'{"version": 3}\n'
    assert (tmp_path / "pipe").is_fifo()


def test_send_presses_enter_unless_told_not_to(
    qd: Qd, supervisor: FakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor.routes["POST", "/v1/tasks/x/send"] = {"result": "delivered", "reason": ""}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\x03\xff")))
    assert qd("send", "x", "yes").out == "delivered\n"
    assert qd("send", "x", "y", "--no-enter").code == 0
    assert qd("send", "x", "-").code == 0
    sent = [base64.b64decode(body["base64"]) for body in supervisor.bodies("POST", "/v1/tasks/x/send")]
    assert sent == [b"yes\r", b"y", b"\x03\xff"]


def test_a_refused_send_says_so(qd: Qd, supervisor: FakeSupervisor) -> None:
    supervisor.routes["POST", "/v1/tasks/x/send"] = {"result": "refused", "reason": "the task is not running"}
    result = qd("send", "x", "yes")
    assert (result.code, "the task is not running" in result.err) == (1, True)
    result = qd("send", "x", "yes", "--json")
    assert (result.code, result.json["result"]) == (1, "refused")


def test_attach_through_the_front_door(supervisor: FakeSupervisor, tmp_path: Path) -> None:
    holder = Holder(tmp_path / "s.sock")
    offer = {"session": "x-1", "address": str(tmp_path / "s.sock"), "ticket": "t", "cols": 1, "rows": 1, "protocol": 1}
    supervisor.routes["POST", "/v1/sessions/x/attach"] = offer
    supervisor.routes["GET", "/v1/config"] = {"path": "", "settings": {"detach_key": "ctrl-q"}, "origins": {}}
    terminal = Terminal([sys.executable, "-m", "lite", "--home", os.fspath(supervisor.home), "attach", "x"])
    try:
        holder.accept()
        holder.say(packets.output(0, packets.OUT, b"prompt>"))
        shown = terminal.until(b"prompt>")
        assert b"attached to x-1; ctrl-q leaves it" in shown
        terminal.type(b"ls\r\x1d")
        assert holder.typed(4) == b"ls\r\x1d"
        terminal.type(b"\x11")
        assert b"detached" in terminal.until(b"comes back")
        assert terminal.process.wait(30) == 0
        import termios

        assert termios.tcgetattr(terminal.master) == terminal.cooked
    finally:
        terminal.close()
        holder.close()
    assert supervisor.bodies("POST", "/v1/sessions/x/attach") == [{"control": True, "local": True}]


def test_a_session_elsewhere_is_not_supported_yet(supervisor: FakeSupervisor) -> None:
    offer = {"session": "x-1", "address": "", "ticket": "t", "cols": 1, "rows": 1, "protocol": 1}
    supervisor.routes["POST", "/v1/sessions/x/attach"] = offer
    terminal = Terminal([sys.executable, "-m", "lite", "--home", os.fspath(supervisor.home), "attach", "x"])
    try:
        terminal.until(b"not supported yet")
        assert terminal.process.wait(30) == 3
    finally:
        terminal.close()

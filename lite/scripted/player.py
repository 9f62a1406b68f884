"""Plays the steps of a script, one after the other."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lite.scripted.escapees import STYLES, ignore_signals, signal_number, spawn_escapee
from lite.scripted.face import Face, write
from lite.scripted.hostile import PATTERNS, SEQUENCES, flood
from lite.scripted.script import ScriptError, Step

_PLACEHOLDER = re.compile(r"\{(prompt|answer|resume|session|task|attempt|needs\.[a-z0-9._-]+)\}")
_SIZE = re.compile(r"(\d+)\s*([kKmMgG]?)i?[bB]?\Z")
_TYPING = 0.01  # seconds a character
_SCREENS = {"alt": b"\x1b[?1049h\x1b[H", "main": b"\x1b[?1049l", "clear": b"\x1b[2J\x1b[H"}


class Ended(Exception):
    """The script is over: exit with `code`."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Player:
    """`play` runs all steps; `finish` says the result when no step did."""

    def __init__(self, face: Face, facts: Mapping[str, str], environ: Mapping[str, str], pace: float) -> None:
        self._face = face
        self._facts = dict(facts)
        self._environ = environ
        self._pace = pace
        self._said = ""
        self._concluded = False
        self._tools = 0
        self._input = b""

    def play(self, steps: Sequence[Step]) -> None:
        for step in steps:
            try:
                getattr(self, f"_do_{step.verb}")(step)
            except (OSError, ValueError) as error:
                raise ScriptError(f"{step.place}: {step.verb}: {error}") from error

    def finish(self) -> None:
        self._conclude(True, self._said, "", False)

    def wait(self, seconds: float) -> None:
        if seconds > 0 and self._pace > 0:
            time.sleep(seconds * self._pace)

    # talking

    def _do_say(self, step: Step) -> None:
        self._said = self._text(step.value)
        self._face.say(self._said, step.options.get("delay", 0))

    def _do_type(self, step: Step) -> None:
        self._said = self._text(step.value)
        self._face.say(self._said, step.options.get("delay", _TYPING))

    def _do_print(self, step: Step) -> None:
        write(f"{self._text(step.value)}\n".encode("utf-8", "replace"))

    def _do_raw(self, step: Step) -> None:
        write(step.value.encode("utf-8", "surrogateescape"))

    def _do_stderr(self, step: Step) -> None:
        write(f"{self._text(step.value)}\n".encode("utf-8", "replace"), 2)

    def _do_think(self, step: Step) -> None:
        self._face.think(self._text(step.value))

    def _do_ask(self, step: Step) -> None:
        expected = step.options.get("expect", "")
        while True:
            answer = self._answer("question", self._text(step.value))
            if not expected or re.fullmatch(expected, answer):
                return
            self._face.say(f"{answer!r} will not do: it must match {expected}", 0)

    def _do_approve(self, step: Step) -> None:
        answer = self._answer("permission", f"{self._text(step.value)} [y/n]")
        if answer.strip().lower() in ("y", "yes"):
            return
        if step.options.get("on_no", "stop") == "stop":
            self._conclude(False, "it was not approved", "tool-refused", False)
            raise Ended(0)

    def _do_tool(self, step: Step) -> None:
        self._tools += 1
        ident = f"tool-{self._tools}"
        self._face.tool(step.value, step.options.get("input", {}), ident)
        self.wait(step.options.get("seconds", 0))
        self._face.tool_done(ident, not step.options.get("fails", False), self._text(step.options.get("result", "")))

    def _do_json(self, step: Step) -> None:
        pad = step.options.get("pad")
        self._face.event({**step.value, "padding": "p" * _bytes(pad)} if pad else step.value)

    def _do_usage(self, step: Step) -> None:
        self._face.event({"type": "usage", **step.value})

    def _do_retry(self, step: Step) -> None:
        self._face.event({"type": "retry", "text": self._text(step.value)})

    def _do_state(self, step: Step) -> None:
        self._face.state(step.value, step.options.get("kind", ""), self._text(step.options.get("text", "")))

    def _do_result(self, step: Step) -> None:
        ok = step.options.get("ok", True)
        reason = step.options.get("reason", "" if ok else "agent")
        self._conclude(ok, self._text(step.value), reason, step.options.get("infrastructure", False))

    # time

    def _do_sleep(self, step: Step) -> None:
        self.wait(step.value)

    def _do_work(self, step: Step) -> None:
        self._face.work(step.value, self._text(step.options.get("label", "Working")))

    def _do_hang(self, step: Step) -> None:
        while True:
            signal.pause()

    # files and programs

    def _do_write(self, step: Step) -> None:
        with Path(self._text(step.value)).open("a" if step.options.get("append") else "w", encoding="utf-8") as file:
            file.write(self._text(step.options.get("text", "")))

    def _do_output(self, step: Step) -> None:
        path = self._environ.get("QD_OUTPUT")
        if not path:
            raise ValueError("QD_OUTPUT is not set")
        Path(path).write_text(self._text(step.value), encoding="utf-8", errors="replace")

    def _do_need(self, step: Step) -> None:
        self._said = self._need(step.value)
        self._face.say(self._said, 0)

    def _do_run(self, step: Step) -> None:
        self._tools += 1
        ident = f"tool-{self._tools}"
        line = self._text(step.value)
        self._face.tool("Bash", {"command": line}, ident)
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, errors="replace", check=False)
        self._face.tool_done(ident, done.returncode == 0, (done.stdout + done.stderr).strip())
        if done.returncode and not step.options.get("may_fail", False):
            self._conclude(False, f"{line}: exit code {done.returncode}", "agent", False)
            raise Ended(1)

    # misbehaving

    def _do_flood(self, step: Step) -> None:
        pattern = step.options.get("pattern", "lines")
        if pattern not in PATTERNS:
            raise ValueError(f"no pattern {pattern!r}; there are {', '.join(PATTERNS)}")
        for chunk in flood(_bytes(step.value), pattern):
            write(chunk)

    def _do_spawn(self, step: Step) -> None:
        if step.value not in STYLES:
            raise ValueError(f"no style {step.value!r}; there are {', '.join(STYLES)}")
        for _ in range(int(step.options.get("count", 1))):
            pid = spawn_escapee(step.value, step.options.get("seconds", 600), _names(step.options.get("ignore", [])))
            self._face.say(f"spawned {step.value} {pid}", 0)
            if "pids" in step.options:
                with Path(self._text(step.options["pids"])).open("a", encoding="utf-8") as file:
                    file.write(f"{pid}\n")

    def _do_ignore(self, step: Step) -> None:
        ignore_signals(_names(step.value))

    def _do_screen(self, step: Step) -> None:
        if step.value not in _SCREENS:
            raise ValueError(f"no screen {step.value!r}; there are {', '.join(_SCREENS)}")
        write(_SCREENS[step.value])

    def _do_hostile(self, step: Step) -> None:
        names = list(SEQUENCES) if step.value == "all" else _names(step.value)
        for name in names:
            if name not in SEQUENCES:
                raise ValueError(f"no sequence {name!r}; there are {', '.join(SEQUENCES)}")
            write(SEQUENCES[name])

    def _do_crash(self, step: Step) -> None:
        raise RuntimeError(self._text(step.value))

    def _do_kill(self, step: Step) -> None:
        number = signal_number(step.value)
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _do_exit(self, step: Step) -> None:
        code = int(step.value)
        if not step.options.get("silent", False):
            self._conclude(code == 0, self._said, "" if code == 0 else "agent", False)
        raise Ended(code)

    # flow

    def _do_repeat(self, step: Step) -> None:
        for _ in range(int(step.value)):
            self.play(step.steps)

    def _do_attempt(self, step: Step) -> None:
        if self._facts.get("attempt") == str(int(step.value)):
            self.play(step.steps)

    def _conclude(self, ok: bool, text: str, reason: str, infrastructure: bool) -> None:
        if not self._concluded:
            self._concluded = True
            self._face.result(ok, text, reason, infrastructure)

    def _answer(self, kind: str, text: str) -> str:
        self._face.blocked(kind, text)
        while (answer := self._face.understood(self._read_line())) is None:
            pass
        self._facts["answer"] = answer
        self._face.unblocked()
        return answer

    def _read_line(self) -> str:
        """A line typed by a person: ends with LF, or CR where the terminal is raw."""
        while not (found := re.search(rb"[\r\n]", self._input)):
            data = os.read(0, 4096)
            if not data:
                self._conclude(False, "the input ended while it waited for an answer", "no-answer", False)
                raise Ended(1)
            self._input += data
        line, self._input = self._input[: found.start()], self._input[found.end() :]
        return line.decode("utf-8", "replace")

    def _text(self, text: str) -> str:
        return _PLACEHOLDER.sub(self._fact, text)

    def _fact(self, match: re.Match[str]) -> str:
        name = match[1]
        return self._need(name.removeprefix("needs.")) if name.startswith("needs.") else self._facts.get(name, "")

    def _need(self, name: str) -> str:
        variable = "QD_NEEDS_" + re.sub(r"[^A-Z0-9]", "_", name.upper())
        path = self._environ.get(variable)
        if path is None:
            raise ValueError(f"{variable} is not set: the task has no need {name!r}")
        return Path(path).read_text(encoding="utf-8", errors="replace")


def _bytes(size: Any) -> int:
    match = _SIZE.match(str(size))
    if not match:
        raise ValueError(f"{size!r} is not a size such as 100 or 10MB")
    return int(match[1]) << {"": 0, "k": 10, "m": 20, "g": 30}[match[2].lower()]


def _names(names: str | list[Any]) -> list[str]:
    return names.replace(",", " ").split() if isinstance(names, str) else [str(name) for name in names]

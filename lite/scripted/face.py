"""The two faces of the scripted agent: a terminal for people, JSON lines for programs."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

APP = "scripted"
Wait = Callable[[float], None]


class Face(Protocol):
    """How the agent shows what it does."""

    def begin(self, session: str, resumed: bool) -> None: ...

    def say(self, text: str, delay: float) -> None: ...

    def think(self, text: str) -> None: ...

    def tool(self, name: str, given: Mapping[str, Any], ident: str) -> None: ...

    def tool_done(self, ident: str, ok: bool, text: str) -> None: ...

    def work(self, seconds: float, label: str) -> None: ...

    def blocked(self, kind: str, text: str) -> None: ...

    def unblocked(self) -> None: ...

    def understood(self, line: str) -> str | None:
        """The answer in what was typed; None: it is not for what was asked."""
        ...

    def event(self, said: Mapping[str, Any]) -> None: ...

    def state(self, state: str, kind: str = "", text: str = "") -> None: ...

    def result(self, ok: bool, text: str, reason: str, infrastructure: bool) -> None: ...


def write(data: bytes, fd: int = 1) -> None:
    """All of it."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class TerminalFace:
    """Plain text, a progress bar, and OSC 7501 for the state."""

    def __init__(self, wait: Wait) -> None:
        self._wait = wait

    def begin(self, session: str, resumed: bool) -> None:
        self.state("working")
        if resumed:
            self._line(f"Resuming {session}")

    def say(self, text: str, delay: float) -> None:
        if delay <= 0:
            self._line(text)
            return
        for character in text:
            write(character.encode("utf-8", "replace"))
            self._wait(delay)
        write(b"\n")

    def think(self, text: str) -> None:
        self._line(f"\x1b[2m{text}\x1b[0m")

    def tool(self, name: str, given: Mapping[str, Any], ident: str) -> None:
        words = " ".join(str(value) for value in given.values())
        self._line(f"\x1b[36m> {name}\x1b[0m {words}".rstrip())

    def tool_done(self, ident: str, ok: bool, text: str) -> None:
        self._line(f"  {'ok' if ok else 'failed'}{': ' + text if text else ''}")

    def work(self, seconds: float, label: str) -> None:
        frames = max(1, min(40, round(seconds * 10)))
        for frame in range(1, frames + 1):
            self._wait(seconds / frames)
            done = 30 * frame // frames
            bar = "#" * done + "." * (30 - done)
            write(f"\r\x1b[K{label} [{bar}] {100 * frame // frames}%".encode("utf-8", "replace"))
        write(b"\n")

    def blocked(self, kind: str, text: str) -> None:
        write(f"\x1b[33m? {text}\x1b[0m ".encode("utf-8", "replace"))
        self.state("blocked", kind, text)

    def unblocked(self) -> None:
        self.state("working")

    def understood(self, line: str) -> str | None:
        return line

    def event(self, said: Mapping[str, Any]) -> None:
        """Events are for programs."""

    def state(self, state: str, kind: str = "", text: str = "") -> None:
        fields = f"state={state}:app={APP}"
        if kind:
            fields += f":kind={kind}"
        if text:
            fields += f":msg={base64.b64encode(text.encode('utf-8', 'replace')).decode()}"
        write(f"\x1b]7501;{fields}\x1b\\".encode())

    def result(self, ok: bool, text: str, reason: str, infrastructure: bool) -> None:
        if not ok:
            self._line(f"\x1b[31m{text or reason}\x1b[0m")
        self.state("done" if ok else "error", text="" if ok else text)

    def _line(self, text: str) -> None:
        write(f"{text}\n".encode("utf-8", "replace"))


class JsonFace:
    """One JSON object a line, in Quarterdeck's neutral words."""

    def __init__(self, wait: Wait) -> None:
        self._wait = wait
        self._asked = 0
        self._question = self._hash = ""

    def begin(self, session: str, resumed: bool) -> None:
        self.event({"type": "init", "session": session, "resumed": resumed, "model": APP})

    def say(self, text: str, delay: float) -> None:
        if delay > 0:
            for word in text.split(" "):
                self.event({"type": "delta", "text": word + " "})
                self._wait(delay * (len(word) + 1))
        self.event({"type": "message", "text": text})

    def think(self, text: str) -> None:
        self.event({"type": "thinking", "text": text})

    def tool(self, name: str, given: Mapping[str, Any], ident: str) -> None:
        self.event({"type": "tool_use", "text": name, "id": ident, "name": name, "input": dict(given)})

    def tool_done(self, ident: str, ok: bool, text: str) -> None:
        self.event({"type": "tool_result", "text": text, "id": ident, "ok": ok})

    def work(self, seconds: float, label: str) -> None:
        ident = f"work-{time.monotonic_ns()}"
        self.tool("work", {"label": label, "seconds": seconds}, ident)
        self._wait(seconds)
        self.tool_done(ident, True, "")

    def blocked(self, kind: str, text: str) -> None:
        self._asked += 1
        self._question = f"q{self._asked}"
        self._hash = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
        self.event({"type": "needs_user", "kind": kind, "text": text, "id": self._question, "hash": self._hash})

    def unblocked(self) -> None:
        self.event({"type": "message", "text": "", "answered": self._question})

    def understood(self, line: str) -> str | None:
        """One JSON object as `qd answer` types it, or (`qd send`) just a line."""
        try:
            said = json.loads(line)
        except ValueError:
            return line
        if not isinstance(said, dict) or "answer" not in said:
            return line
        if (said["answer"], said.get("hash")) != (self._question, self._hash):
            self.event({"type": "message", "text": "it was not asked that", "refused": said["answer"]})
            return None
        return {"allow": "y", "deny": "n"}.get(str(said.get("decision")), str(said.get("text", "")))

    def event(self, said: Mapping[str, Any]) -> None:
        write(json.dumps(said).encode() + b"\n")

    def state(self, state: str, kind: str = "", text: str = "") -> None:
        if state == "blocked":
            self.blocked(kind or "question", text)

    def result(self, ok: bool, text: str, reason: str, infrastructure: bool) -> None:
        said = {"type": "result", "ok": ok, "text": text, "reason": reason, "infrastructure": infrastructure}
        self.event(said)

"""A stand-in for `opencode serve`: `python opencode_server.py WIRE NOTES [its arguments]` says what a file says.

WIRE has a line for each thing that went over the wire, in order: a mark, a space and JSON.
`<` an event it tells. `>` [METHOD, PATH, BODY], a request that must come before it goes on. `=` [METHOD, PATH, STATUS,
BODY], what it answers to one, each kind in its order, the last one again and again. `!` what happens: "cut" the stream,
"exit" with a code, "child" is left behind, "pour" so many bytes as one event, "stdout" a line, "silence" for ever.
`/project` stands for the directory it works in. It writes what happened to it to NOTES, a JSON line each.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
from collections import defaultdict, deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Line = tuple[str, Any]
_IGNORES_TERM = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(3600)"
)


class Script:
    """Where in the file it is; several connections take turns."""

    def __init__(self, lines: list[Line], notes: Path) -> None:
        self.lines = deque(lines)
        self.came = threading.Condition()
        self.requests: deque[tuple[str, str]] = deque()  # those that must come, as they came
        self._notes = notes
        self._answers: dict[tuple[str, str], deque[tuple[int, Any]]] = defaultdict(deque)
        self._expected: dict[tuple[str, str], deque[Any]] = defaultdict(deque)
        for mark, said in lines:
            if mark == "=":
                self._answers[said[0], said[1]].append((said[2], said[3]))
            elif mark == ">":
                self._expected[said[0], said[1]].append(said[2])

    def note(self, **said: Any) -> None:
        with self._notes.open("a", encoding="utf-8") as file:
            file.write(json.dumps(said) + "\n")

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        key = (method, path)
        with self.came:
            if method != "GET":
                self.note(what=f"{method} {path}", body=body)
                expected = self._expected[key].popleft() if self._expected[key] else None
                if expected is not None and json.loads(here(json.dumps(expected))) != body:
                    self.note(what="unlike", expected=expected, got=body)
                self.requests.append(key)
                self.came.notify_all()
            answers = self._answers[key]
            if not answers:
                return 404, {"name": "NotFoundError", "data": {"message": f"nothing at {path}"}}
            return answers.popleft() if len(answers) > 1 else answers[0]

    def await_request(self, key: tuple[str, str]) -> None:
        with self.came:
            while key not in self.requests:
                self.came.wait()
            self.requests.remove(key)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Script

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_PATCH(self) -> None:
        self._serve("PATCH")

    def _serve(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        password = os.environ["OPENCODE_SERVER_PASSWORD"]
        wanted = "Basic " + base64.b64encode(f"opencode:{password}".encode()).decode()
        if self.headers.get("authorization") != wanted:
            self.script.note(what="stranger")
            self._send(401, {"name": "Unauthorized"})
            return
        path = self.path.partition("?")[0]
        if path == "/event":
            self._stream()
            return
        self._send(*self.script.answer(method, path, json.loads(body) if body else None))

    def _send(self, status: int, said: Any) -> None:
        data = b"" if status == 204 else here(json.dumps(said)).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        if status != 204:
            self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self) -> None:
        script = self.script
        script.note(what="stream")
        self.close_connection = True
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        while script.lines:
            mark, said = script.lines.popleft()
            if mark == "<":
                self._event(json.dumps(said))
            elif mark == ">":
                script.await_request((said[0], said[1]))
            elif mark == "!" and self._happens(*said):
                return
        threading.Event().wait()

    def _event(self, text: str) -> None:
        self.wfile.write(f"data: {here(text)}\n\n".encode())

    def _happens(self, what: str, value: Any = None) -> bool:
        """True when the stream ends."""
        if what == "exit":
            sys.stderr.write("it crashed\n")
            sys.stderr.flush()
            os._exit(value)
        if what == "child":
            child = subprocess.Popen(
                [sys.executable, "-c", _IGNORES_TERM], stdout=subprocess.PIPE, start_new_session=True
            )
            assert child.stdout is not None
            child.stdout.readline()
            self.script.note(what="child", pid=child.pid)
        if what == "pour":
            self.wfile.write(b'data: {"type":"')
            for _ in range(value >> 20):
                self.wfile.write(b"x" * (1 << 20))
            self.wfile.write(b'"}\n\n')
        if what == "stdout":
            print(value, flush=True)
        if what == "silence":
            threading.Event().wait()
        return what == "cut"


def here(text: str) -> str:
    return text.replace("/project", str(Path.cwd()))


def read(wire: Path) -> list[Line]:
    return [(line[0], json.loads(line[2:])) for line in wire.read_text(encoding="utf-8").splitlines()]


def main(wire: str, notes: str, arguments: list[str]) -> None:
    script = Script(read(Path(wire)), Path(notes))
    script.note(what="started", arguments=arguments, hidden=os.environ["OPENCODE_SERVER_PASSWORD"] not in arguments)
    if script.lines and script.lines[0] == ("!", ["no start"]):
        sys.exit("Error: Config file at nowhere is invalid")
    if script.lines and script.lines[0] == ("!", ["no port"]):
        signal.pause()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"script": script}))
    server.daemon_threads = True
    print(f"opencode server listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])

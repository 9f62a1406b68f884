"""A supervisor of canned answers on a home's socket, and tasks to answer with."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lite.errors import QuarterdeckError
from lite.home import Home

Answer = Any  # JSON, bytes (a stream's content), an error to answer with, or a callable(query, body) of these


class FakeSupervisor:
    """Answers `routes[(method, path)]`; keeps what was asked in `asked` as (method, path, query, body)."""

    def __init__(self, home: Home) -> None:
        home.create()
        self.home = home
        self.asked: list[tuple[str, str, dict[str, list[str]], Any]] = []
        self.routes: dict[tuple[str, str], Answer] = {
            ("GET", "/health"): {"ok": True, "ready": True, "version": "0"},
            ("GET", "/v1/status"): status(),
            ("GET", "/v1/tasks"): [],
            ("GET", "/v1/runs"): [],
            ("GET", "/v1/config"): {"path": "", "settings": {"detach_key": "ctrl-]"}, "origins": {}},
        }
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *arguments: object) -> None:
                pass

            def do_GET(self) -> None:
                fake._answer(self)

            def do_POST(self) -> None:
                fake._answer(self)

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True
            block_on_close = False

        self._server = Server(str(home.socket), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def tasks(self, *tasks: dict[str, Any]) -> None:
        """Serve these tasks, also one by one by id and by `run/name`."""
        self.routes["GET", "/v1/tasks"] = list(tasks)
        for each in tasks:
            self.routes["GET", f"/v1/tasks/{each['id']}"] = each

    def events(self, *events: dict[str, Any]) -> None:
        lines = "".join(json.dumps(one) + "\n" for one in events)
        self.routes["GET", "/v1/events/stream"] = lines.encode()
        self.routes["GET", "/v1/events"] = list(events)

    def bodies(self, method: str, path: str) -> list[Any]:
        return [body for asked, where, _, body in self.asked if (asked, where) == (method, path)]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.home.socket.unlink(missing_ok=True)

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        body = json.loads(handler.rfile.read(length)) if length else None
        parts = urlsplit(handler.path)
        query = parse_qs(parts.query)
        self.asked.append((handler.command, parts.path, query, body))
        missing = QuarterdeckError("no such thing")
        answer = self.routes.get((handler.command, parts.path), missing)
        if callable(answer):
            answer = answer(query, body)
        code = 200
        if isinstance(answer, QuarterdeckError):
            code = 404 if answer is missing else answer.status
            told = {**answer.to_json(), "code": "not-found" if answer is missing else answer.code}
            answer = {"error": told}
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        handler.send_response(code)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)


def status(**changes: Any) -> dict[str, Any]:
    return {
        "pid": 4_000_000,
        "home": "/h",
        "version": "0.1.0",
        "protocol": 1,
        "worker": "w-1",
        "backend": "SQLite, every commit on disk",
        "backend_warnings": [],
        "role": "all",
        "started_at": 1,
        "services": [{"name": "dispatcher", "state": "running", "restarts": 0, "last_error": ""}],
        "sessions": 0,
        "slots": 4,
        "ready": True,
        "stopping": False,
        "paused": False,
        "config_path": "",
        "config_error": "",
        "cursor": 0,
    } | changes


def task(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A task of no run, succeeded; ids differ in their ninth character."""
    return {
        "id": f"01jd8aaa{number}bcdefghjkmnpqrst",
        "seq": number,
        "run": "",
        "name": f"task{number}",
        "agent": "shell",
        "provider": "shell",
        "mode": "interactive",
        "state": "succeeded",
        "reason": "",
        "detail": "",
        "cause": "",
        "activity": "",
        "activity_source": "",
        "activity_rule": "",
        "activity_since": None,
        "waiting": None,
        "attempt": 1,
        "failures": 0,
        "faults": 0,
        "retries": 0,
        "lane": "",
        "needs": [],
        "touches": [],
        "priority": 0,
        "rule": "agent shell",
        "type": "",
        "trigger": "",
        "prompt": "",
        "command": ["true"],
        "url": "",
        "cwd": "/",
        "key": "",
        "timeout_ms": None,
        "idle_timeout_ms": None,
        "on_failure": "skip",
        "worker": "",
        "assigned": "",
        "assigned_why": "",
        "session": f"01jd8aaa{number}bcdefghjkmnpqrst-1",
        "cancel": "",
        "exit_code": 0,
        "signal": None,
        "output": None,
        "cost_usd": None,
        "cost_source": "unknown",
        "tokens_in": None,
        "tokens_out": None,
        "run_at": None,
        "created_at": 1_000,
        "started_at": 2_000,
        "ended_at": 5_500,
    } | changes


def event(kind: str, task: dict[str, Any] | None = None, cursor: int = 1, **data: Any) -> dict[str, Any]:
    return {
        "cursor": cursor,
        "at": 9_000,
        "kind": kind,
        "run": task["run"] if task else "",
        "task": task["id"] if task else "",
        "attempt": 0,
        "worker": "",
        "data": data,
    }


def stream_of(packets: Iterable[bytes]) -> Callable[[Any, Any], bytes]:
    """A recording's answer: its packets from the offset asked for are the test's business, so it gives all once."""
    whole = b"".join(packets)
    return lambda query, body: whole

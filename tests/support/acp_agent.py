"""A scripted agent of the Agent Client Protocol, in plain JSON lines: `python acp_agent.py SCENARIO [FILE]`.

It writes what happened to it (answers, a cancel, the end of its input) to FILE, a JSON line each.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SESSION = "sess-1"
OPTIONS = [
    {"optionId": "always", "name": "Allow for this session", "kind": "allow_always"},
    {"optionId": "once", "name": "Allow", "kind": "allow_once"},
    {"optionId": "no", "name": "Reject", "kind": "reject_once"},
]


class Agent:
    def __init__(self, scenario: str, notes: str) -> None:
        self.scenario = scenario
        self.notes = notes
        self.late = ""

    def note(self, **said: Any) -> None:
        if self.notes:
            with Path(self.notes).open("a", encoding="utf-8") as file:
                file.write(json.dumps(said) + "\n")

    def send(self, /, **said: Any) -> None:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **said}) + "\n")
        sys.stdout.flush()

    def update(self, kind: str, /, **said: Any) -> None:
        update = {"sessionUpdate": kind, **said}
        self.send(method="session/update", params={"sessionId": SESSION, "update": update})

    def say(self, text: str, kind: str = "agent_message_chunk") -> None:
        self.update(kind, content={"type": "text", "text": text})

    def receive(self) -> dict[str, Any]:
        line = sys.stdin.readline()
        if not line:
            self.note(what="eof")
            sys.exit(0)
        said: dict[str, Any] = json.loads(line)
        return said

    def main(self) -> None:
        if self.scenario == "silent":
            self.receive()
            time.sleep(3600)
        if self.scenario == "dies-at-once":
            sys.stderr.write("no such profile: work\n")
            sys.exit(3)
        if self.scenario == "garbage":
            for number in range(200):
                print("this is no JSON", number, "\x1b[31m")
            print("[1,2]\n7\nnull\n" + '{"id":[],"result":1}\n{"id":99,"result":{}}', flush=True)
        while True:
            said = self.receive()
            method, ident = said.get("method"), said.get("id")
            if method == "session/cancel":
                self.note(what="late cancel")
            elif method is not None:
                self.send(id=ident, **self.answer(method, said.get("params") or {}))

    def answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        scenario = self.scenario
        self.note(what=method, params=params)
        if method == "initialize":
            version = 99 if scenario == "version" else 1
            can = {"loadSession": scenario.startswith("loads")}
            who = {"name": "scripted", "version": "1.2"}
            return {"result": {"protocolVersion": version, "agentCapabilities": can, "agentInfo": who}}
        if method == "authenticate" and scenario == "asks-first":
            self.ask(json.loads(os.environ["ASKS"])[0])
        if method == "session/new":
            if scenario == "auth":
                return {"error": {"code": -32000, "message": "Authentication required", "data": {"hint": "log in"}}}
            modes = {"currentModeId": "ask", "availableModes": [{"id": "ask", "name": "Ask"}, {"id": "plan"}]}
            options = [{"value": "small", "name": "S"}, {"name": "group", "options": [{"value": "big", "name": "B"}]}]
            config = [{"id": "llm", "category": "model", "type": "select", "options": options}]
            return {"result": {"sessionId": SESSION, "modes": modes, "configOptions": config}}
        if method == "session/load":
            if params["sessionId"] != SESSION:
                return {"error": {"code": -32002, "message": "Resource not found"}}
            self.say("something said earlier")
            self.update("tool_call", toolCallId="old", title="an old tool", status="completed", rawInput={"a": 1})
            self.update("usage_update", used=5, size=10, cost={"amount": 0.5, "currency": "USD"})
            if scenario == "loads-late":
                self.late = "said earlier, told late"
            return {"result": {}}
        if method.startswith("_"):
            if self.late:
                self.say(self.late)
            return {"error": {"code": -32601, "message": "Method not found"}}
        if method == "session/prompt":
            return self.prompt(params["prompt"][0]["text"])
        return {"result": {}}

    def prompt(self, text: str) -> dict[str, Any]:
        scenario = self.scenario
        self.update("plan", entries=[{"content": "look", "status": "pending", "priority": "low"}])
        self.say("Let me see.", "agent_thought_chunk")
        self.say("On ")
        self.say("it.")
        if scenario in ("tool", "tools"):
            return self.tool("t1", 2 if scenario == "tools" else 1)
        if scenario == "cancel":
            child = subprocess.Popen(["sleep", "3600"])
            self.note(what="child", pid=child.pid)
            self.say("working")
            while self.receive().get("method") != "session/cancel":
                pass
            self.note(what="cancelled")
            return {"result": {"stopReason": "cancelled"}}
        if scenario in ("stubborn", "leaves"):
            return self.stubborn()
        if scenario == "crash":
            sys.stderr.write("fatal: out of ideas\n")
            sys.stderr.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        if scenario == "crash-child":
            child = subprocess.Popen(["sleep", "3600"])  # keeps the pipes open
            self.note(what="child", pid=child.pid)
            sys.exit(4)
        if scenario == "cut":
            sys.stdout.write('{"jsonrpc":"2.0","method":"session/upd')
            sys.stdout.flush()
            sys.exit(0)
        if scenario == "closes":
            sys.stdout.flush()
            os.close(1)
            time.sleep(3600)
        if scenario == "huge":
            head = '{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"x","update":{"x":"'
            self.pour(head, 50)
            self.say("Survived.")
        if scenario == "huge-answer":
            self.pour('{"jsonrpc":"2.0","id":2,"result":{"x":"', 50)
            time.sleep(3600)
        if scenario == "long":
            self.say("x" * (2 << 20))
        if scenario == "quota":
            message = "429 Too many requests. Please retry in 41.5s"
            return {"error": {"code": 429, "message": "Internal error", "data": {"details": message}}}
        if scenario in ("max_turn_requests", "refusal", "max_tokens", "what"):
            return {"result": {"stopReason": scenario}}
        if scenario == "repeats":
            for number in range(4):
                content = {"type": "text", "text": "It is"}
                self.update("agent_message_chunk", messageId=f"m{number}", content=content)
        if scenario == "surprises":
            self.surprises()
        if scenario == "asks":
            for asked in json.loads(os.environ["ASKS"]):
                if not self.ask(asked):
                    return {"result": {"stopReason": "cancelled"}}
        if scenario == "terminals":
            self.terminals()
        if scenario == "places":
            self.note(what="places", at={name: os.environ.get(name) for name in ("XDG_CONFIG_HOME", "MODEL_BASE_URL")})
        if scenario == "tells":
            return self.tells()
        self.update("usage_update", used=5, size=10, cost={"amount": 0.75, "currency": "USD"})
        self.update("mood_update", mood="new in version 2")
        usage = {"inputTokens": 10, "cachedReadTokens": 5, "outputTokens": 3, "thoughtTokens": 1, "totalTokens": 19}
        return {"result": {"stopReason": "end_turn", "usage": usage}}

    def tool(self, ident: str, times: int) -> dict[str, Any]:
        self.update("tool_call", toolCallId=ident, title="write", kind="edit", status="pending", rawInput={})
        given = {"path": "hello.txt", "content": "hello\n"}
        for number in range(times):
            call = {"toolCallId": ident, "title": f"Write hello.txt ({number})", "rawInput": given}
            params = {"sessionId": SESSION, "toolCall": call, "options": OPTIONS}
            self.send(id=f"p{number}", method="session/request_permission", params=params)
        outcomes: dict[Any, Any] = {}
        cancelled = False
        while len(outcomes) < times:
            said = self.receive()
            if said.get("method") == "session/cancel":
                cancelled = True
                self.note(what="cancelled")
            else:
                outcomes[said["id"]] = said["result"]["outcome"]
        self.note(what="outcomes", outcomes=outcomes)
        if cancelled:
            return {"result": {"stopReason": "cancelled"}}
        allowed = all(one.get("optionId") in ("once", "always") for one in outcomes.values())
        content = [{"type": "content", "content": {"type": "text", "text": "written" if allowed else "refused"}}]
        self.update("tool_call_update", toolCallId=ident, status="completed" if allowed else "failed", content=content)
        self.say("Done." if allowed else "I was not allowed to.")
        return {"result": {"stopReason": "end_turn"}}

    def stubborn(self) -> dict[str, Any]:
        """Ignores what ends others, or leaves a tool behind."""
        code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(3600)"
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
        assert child.stdout is not None
        child.stdout.readline()
        self.note(what="child", pid=child.pid)
        if self.scenario == "leaves":
            return {"result": {"stopReason": "end_turn"}}
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.say("working")
        while True:
            time.sleep(3600)

    def ask(self, asked: dict[str, Any]) -> bool:
        """False when the turn was cancelled meanwhile."""
        self.send(id="e", method="elicitation/create", params={"sessionId": SESSION, **asked})
        cancelled = False
        while "id" not in (said := self.receive()):
            cancelled = cancelled or said.get("method") == "session/cancel"
        self.note(what="asked", answer=said.get("result", said.get("error")))
        return not cancelled

    def terminals(self) -> None:
        """Wants what it was not offered, and shows a picture."""
        for method in ("create", "output", "wait_for_exit", "kill", "release"):
            params = {"sessionId": SESSION, "command": "touch", "args": ["made"], "terminalId": "t"}
            self.send(id=method, method=f"terminal/{method}", params=params)
            self.note(what="terminal", answer=self.receive())
        picture = {"type": "image", "mimeType": "image/png", "data": "iVBORw0KGgo" * 200_000}
        self.update("agent_message_chunk", content=picture)
        content = [{"type": "content", "content": picture}, {"type": "terminal", "terminalId": "t"}]
        self.update("tool_call", toolCallId="p", title="draw", status="completed", content=content)
        self.say("Drawn.")

    def tells(self) -> dict[str, Any]:
        """All it was given by the variables that $TELL names, whole and in pieces, before a question and after it."""
        assert "QD_SECRETS" not in os.environ, "what is secret is the driver's business"
        values = [os.environ[name] for name in os.environ["TELL"].split(",")]
        for value in values:
            self.tell(value)
        told = " ".join(values)
        call = {"toolCallId": "s1", "title": f"send {told}", "kind": "execute", "rawInput": {"keys": values}}
        params = {"sessionId": SESSION, "toolCall": call, "options": OPTIONS}
        self.send(id="s", method="session/request_permission", params=params)
        self.receive()
        for value in values:
            self.tell(value)
        self.say("The outcome: ")
        for char in told:
            self.say(char)
        return {"result": {"stopReason": "end_turn"}}

    def tell(self, value: str) -> None:
        for size in (1, 3, 7, 15, len(value)):
            for at in range(0, len(value), size):
                self.say(value[at : at + size])
            self.say("\n")
            for at in range(0, len(value), size):
                self.say(value[at : at + size], "agent_thought_chunk")
        half = len(value) // 2
        self.say(value[:half])
        self.say("thinking in between", "agent_thought_chunk")
        self.say(value[half:])
        sys.stderr.write(f"stderr {value}\n")
        sys.stderr.flush()
        content = [{"type": "content", "content": {"type": "text", "text": f"out: {value}"}}]
        given = {"key": value}
        self.update("tool_call", toolCallId=value, title=f"use {value}", status="pending", rawInput=given)
        self.update("tool_call_update", toolCallId=value, status="completed", content=content, rawOutput=given)
        self.update("plan", entries=[{"content": f"hide {value}", "status": "pending"}])

    def surprises(self) -> None:
        """Values of every wrong shape, where the protocol promises another."""
        for shape in (None, 7, "x", [], {}, [[]], {"type": 3}, True):
            for kind in ("agent_message_chunk", "tool_call", "tool_call_update", "plan", "usage_update", 5):
                for key in ("content", "toolCallId", "title", "rawInput", "status", "entries", "cost", "messageId"):
                    update = {"sessionUpdate": kind, key: shape}
                    self.send(method="session/update", params={"sessionId": SESSION, "update": update})
            self.send(method="session/update", params=shape)
            self.send(method=shape)
            self.send(method="later/news", params=shape)
        self.send(id="f", method="fs/write_text_file", params={"path": "/x", "content": ""})
        self.note(what="fs", answer=self.receive())
        self.say("Fine.")

    def pour(self, head: str, megabytes: int) -> None:
        sys.stdout.write(head)
        for _ in range(megabytes):
            sys.stdout.write("y" * (1 << 20))
        sys.stdout.write('"}}}\n')
        sys.stdout.flush()


if __name__ == "__main__":
    try:
        Agent(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "").main()
    except BrokenPipeError:
        os._exit(0)

"""A scripted `codex app-server`: `python codex_agent.py SCENARIO NOTES [FLAGS..]`.

The scenario `replay:FILE` says again what the real one once said: `< LINE` is its own, `> LINE` what it was told then,
and has to be told now (in any order where nothing of its own stood between). It writes what happened to it (its flags,
what it is told, the end of its input) to NOTES, a JSON line each. `replay-cut:FILE` ends where the file does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

THREAD = "0abc0000-0000-4000-8000-000000000001"
OLD_TURN = "0abc0000-0000-4000-8000-000000000002"
TURN = "0abc0000-0000-4000-8000-000000000003"
HELPER = "0abc0000-0000-4000-8000-000000000004"
CHANGES = [{"path": "/project/hello.txt", "kind": {"type": "update", "move_path": None}, "diff": "-hello\n+goodbye\n"}]
QUESTIONS = [
    {"id": "q1", "question": "Which colour?", "isOther": False, "options": [{"label": "Red"}, {"label": "Blue"}]},
    {"id": "q2", "question": "Which name?", "isOther": True, "options": None},
]
FORM = {"type": "object", "properties": {"name": {"type": "string"}}}
# method and parameters of what it may ask
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "command": (
        "item/commandExecution/requestApproval",
        {"itemId": "c1", "kind": "command", "command": "make all", "cwd": "/project", "reason": "it wants the network"},
    ),
    "rule": (
        "item/commandExecution/requestApproval",
        {
            "itemId": "c1",
            "command": "make all",
            "availableDecisions": ["accept", {"acceptWithExecpolicyAmendment": {"execpolicy_amendment": ["make"]}}],
        },
    ),
    "unnamed": ("item/commandExecution/requestApproval", {"itemId": "c1", "commandActions": [{"command": "make x"}]}),
    "change": ("item/fileChange/requestApproval", {"itemId": "f1", "reason": None, "grantRoot": None}),
    "unseen": ("item/fileChange/requestApproval", {"itemId": "f2", "grantRoot": "/elsewhere"}),
    "permissions": (
        "item/permissions/requestApproval",
        {"itemId": "p1", "cwd": "/project", "permissions": {"network": {"enabled": True}, "fileSystem": None}},
    ),
    "questions": ("item/tool/requestUserInput", {"itemId": "u1", "questions": QUESTIONS, "isBlocking": True}),
    "server": (
        "mcpServer/elicitation/request",
        {"serverName": "notes", "mode": "form", "message": "Delete all?", "requestedSchema": {"properties": {}}},
    ),
    "form": (
        "mcpServer/elicitation/request",
        {"serverName": "notes", "mode": "form", "message": "Who?", "requestedSchema": FORM},
    ),
    "strange": ("item/tool/call", {"tool": "x"}),
}


class Agent:
    def __init__(self, scenario: str, notes: str, flags: list[str]) -> None:
        self.scenario, self.notes = scenario, notes
        self.note(what="flags", flags=flags)

    def note(self, **said: Any) -> None:
        with Path(self.notes).open("a", encoding="utf-8") as file:
            file.write(json.dumps(said) + "\n")

    def send(self, **said: Any) -> None:
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()

    def tell(self, method: str, /, **params: Any) -> None:
        self.send(method=method, params={"threadId": THREAD, **params})

    def receive(self) -> dict[str, Any]:
        line = sys.stdin.readline()
        if not line:
            self.note(what="eof")
            sys.exit(3 if self.scenario == "ends-badly" else 0)
        said: dict[str, Any] = json.loads(line)
        self.note(what=said.get("method", "answer"), said=said)
        return said

    def main(self) -> None:
        kind, _, file = self.scenario.partition(":")
        if kind in ("replay", "replay-cut"):
            self.replay(Path(file).read_text(encoding="utf-8").splitlines())
            return
        if kind == "dies-at-once":
            sys.stderr.write(
                "some noise\nError: Model provider `nowhere` not found\n\nStack backtrace:\n  0: <unknown>\n"
            )
            sys.exit(1)
        while True:
            said = self.receive()
            if kind == "silent":
                time.sleep(3600)
            method = said.get("method", "")
            if method and "id" in said:
                self.send(id=said["id"], **self.answer(method, said["params"]))
            if method == "turn/start":
                self.turn()

    def answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        scenario = self.scenario
        match method:
            case "initialize":
                return {"result": {"userAgent": "quarterdeck/0.169.0 (Linux; x86_64) unknown (quarterdeck; 0)"}}
            case "thread/start" if scenario == "refuses":
                return {"error": {"code": -32600, "message": "unexpected status 401 Unauthorized: no"}}
            case "thread/start" if scenario == "nameless":
                return {"result": {"thread": []}}
            case "thread/start":
                return {"result": {"thread": {"id": THREAD}, "model": "model-1"}}
            case "thread/resume" if params["threadId"] != THREAD:
                return {"error": {"code": -32600, "message": f"no rollout found for thread id {params['threadId']}"}}
            case "thread/resume":
                self.usage(5000, 100, turn=OLD_TURN)
                return {"result": {"thread": {"id": THREAD}, "model": "model-1"}}
            case "turn/start":
                return {"result": {"turn": {"id": TURN}}}
            case _:
                return {"result": {}}

    def usage(self, total: int, last: int, *, turn: str = TURN, thread: str = THREAD) -> None:
        def counts(number: int) -> dict[str, int]:
            return {"inputTokens": number, "cachedInputTokens": number // 2, "outputTokens": number // 10}

        self.tell(
            "thread/tokenUsage/updated",
            threadId=thread,
            turnId=turn,
            tokenUsage={"total": counts(total), "last": counts(last)},
        )

    def item(self, stage: str, kind: str, ident: str, **more: Any) -> None:
        self.tell(f"item/{stage}", turnId=TURN, item={"type": kind, "id": ident, **more})

    def say(self, text: str) -> None:
        self.tell("item/agentMessage/delta", itemId="m", delta=text)
        self.item("completed", "agentMessage", "m", text=text)

    def end(self, status: str = "completed", message: str = "") -> None:
        error = {"message": message, "codexErrorInfo": "other"} if message else None
        self.tell("turn/completed", turn={"id": TURN, "status": status, "error": error})

    def turn(self) -> None:
        self.tell("turn/started", turn={"id": TURN, "status": "inProgress"})
        kind, _, argument = self.scenario.partition(":")
        match kind:
            case "ask":
                self.ask(argument.split("+"))
            case "taken-back":
                self.send(id="a", method=ASKED["command"][0], params=ASKED["command"][1])
                gate = Path(f"{self.notes}.gate")  # a pipe: until the test has seen the question, and its end
                gate.read_bytes()
                self.tell("serverRequest/resolved", requestId="a")
                gate.read_bytes()
            case "work":
                self.work()
            case "cancel" | "stubborn" | "unsaid":
                self.hang()
                return
            case "fails":
                self.end("failed", "unexpected status 429 Too Many Requests: slow down")
                return
            case "odd-end":
                self.end("exploded")
                return
            case "cut":
                sys.stdout.write('{"method":"turn/comp')
                sys.stdout.flush()
                sys.exit(0)
            case "crash":
                sys.stderr.write("thread 'main' panicked\n")
                sys.exit(101)
            case "closes":
                os.close(1)
                time.sleep(3600)
            case "huge":
                sys.stdout.write('{"method":"x","params":{"x":"')
                for _ in range(50):
                    sys.stdout.write("y" * (1 << 20))
                sys.stdout.write('"}}\n')
            case "surprises":
                self.surprises()
        self.say("Done.")
        self.usage(self.base + 1000, 1000)
        self.usage(self.base + 3000, 2000)
        self.usage(self.base + 3000, 2000)
        self.end()

    @property
    def base(self) -> int:
        resumed = "thread/resume" in Path(self.notes).read_text()
        return 5000 if resumed else 0

    def ask(self, names: list[str]) -> None:
        self.item("started", "fileChange", "f1", changes=CHANGES, status="inProgress")
        for name in names:
            method, params = ASKED[name]
            self.send(id=name, method=method, params={"threadId": THREAD, "turnId": TURN, **params})
        answers: dict[str, Any] = {}
        while len(answers) < len(names):
            said = self.receive()
            if said.get("method") == "turn/interrupt":
                self.send(id=said["id"], result={})
                self.end("interrupted")
                return
            if said.get("method") == "turn/steer":
                self.send(id=said["id"], result={"turnId": TURN})
                continue
            answers[str(said["id"])] = said.get("result", said.get("error"))
        self.note(what="answers", answers=answers)
        self.item("completed", "fileChange", "f1", changes=CHANGES, status="completed")

    def work(self) -> None:
        """One of all it tells while it works."""
        self.tell(
            "turn/plan/updated", plan=[{"step": "look", "status": "completed"}, {"step": "do", "status": "pending"}]
        )
        self.item("started", "reasoning", "r", summary=[], content=[])
        self.item("completed", "reasoning", "r", summary=["Let me", "see."], content=[])
        self.item("started", "commandExecution", "c", command="make", status="inProgress", aggregatedOutput=None)
        self.tell("item/commandExecution/outputDelta", itemId="c", delta="made\n")
        done = {"command": "make", "status": "failed", "aggregatedOutput": "made\n", "exitCode": 2}
        self.item("completed", "commandExecution", "c", **done)
        self.item("started", "fileChange", "f", changes=CHANGES, status="inProgress")
        self.item("completed", "fileChange", "f", changes=CHANGES, status="completed")
        self.item("completed", "mcpToolCall", "t", server="notes", tool="add", arguments={"a": 1}, status="completed")
        self.item("completed", "webSearch", "w", query="how", action=None)
        self.tell("warning", message="be careful")
        error = {"message": "Reconnecting... 2/5", "additionalDetails": "unexpected status 503 Service Unavailable: x"}
        self.tell("error", error=error, willRetry=True, turnId=TURN)
        self.tell("model/rerouted", fromModel="model-1", toModel="model-2")
        helper = {"type": "agentMessage", "id": "h", "text": "I help."}
        self.tell("item/completed", threadId=HELPER, item=helper)
        self.usage(700, 700, thread=HELPER, turn=HELPER)
        self.tell("turn/completed", threadId=HELPER, turn={"id": HELPER, "status": "failed"})

    def hang(self) -> None:
        """A tool runs until the turn is interrupted; `stubborn` listens to nobody, `unsaid` waits for a network."""
        code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(3600)"
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
        assert child.stdout is not None
        child.stdout.readline()
        self.note(what="child", pid=child.pid)
        if self.scenario == "unsaid":
            error = {"message": "Reconnecting... waiting for network", "additionalDetails": "Connection failed: no"}
            self.tell("error", error=error, willRetry=True, turnId=TURN)
        self.tell("item/agentMessage/delta", itemId="m", delta="working")
        while self.scenario == "stubborn":
            time.sleep(3600)
        while self.receive().get("method") != "turn/interrupt":
            pass
        self.send(id=4, result={})
        self.end("interrupted")

    def surprises(self) -> None:
        """Values of every wrong shape, where the protocol promises another."""
        methods = ["item/started", "item/completed", "item/agentMessage/delta", "thread/tokenUsage/updated", "error"]
        methods += [
            "turn/plan/updated",
            "turn/completed",
            "turn/started",
            "warning",
            "serverRequest/resolved",
            "new/thing",
        ]
        keys = ("item", "tokenUsage", "turn", "error", "plan", "delta", "requestId", "message", "willRetry", "threadId")
        kinds = ("agentMessage", "reasoning", "commandExecution", "fileChange", "mcpToolCall", "webSearch", "later")
        fields = ("id", "text", "summary", "status", "exitCode", "changes", "arguments", "result", "command")
        shapes: tuple[Any, ...] = (
            None,
            7,
            -1,
            "x",
            [],
            {},
            [[]],
            [None],
            {"type": 3},
            True,
            {"total": {"inputTokens": "many"}},
        )
        for shape in shapes:
            for method in methods:
                self.send(method=method, params=shape)
                for key in keys:
                    self.tell(method, **{key: shape})
            for kind in kinds:
                for field in fields:
                    self.item("started", kind, "z", **{field: shape})
                    self.item("completed", kind, "z", **{field: shape})
            self.send(method=shape)
            self.send(id=shape, result=shape)
            self.send(id=shape, method="item/fileChange/requestApproval", params=shape)
        sys.stdout.write("no JSON at all \x1b[31m\n[1]\n7\n\n")
        self.item("completed", "agentMessage", "m", text="x")

    def replay(self, lines: list[str]) -> None:
        waiting: list[tuple[Any, ...]] = []
        for line in [*lines, "< "]:
            mark, text = line[:2], line[2:]
            if mark == "> ":
                waiting.append(_gist(json.loads(text)))
                continue
            while waiting:
                told = _gist(self.receive())
                if told not in waiting:
                    self.note(what="unexpected", told=told, waiting=waiting)
                    sys.exit(9)
                waiting.remove(told)
            if text:
                sys.stdout.write(text + "\n")
                sys.stdout.flush()
        while not self.scenario.startswith("replay-cut"):
            self.receive()


def _gist(said: dict[str, Any]) -> tuple[Any, ...]:
    """Of what it is told: all but the directory and the prompt."""
    params = said.get("params") or {}
    more = {key: value for key, value in params.items() if key not in ("cwd", "input")}
    return said.get("method"), said.get("id"), json.dumps(said.get("result")), json.dumps(more, sort_keys=True)


if __name__ == "__main__":
    try:
        Agent(sys.argv[1], sys.argv[2], sys.argv[3:]).main()
    except BrokenPipeError:
        os._exit(0)

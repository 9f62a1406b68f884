"""A scripted Claude Code in its two-way mode: `python claude_agent.py SCENARIO NOTES [FLAGS..]`.

It writes what happened to it (its flags, requests, prompts, answers, the end of its input) to NOTES, a JSON line each.
The scenario `replay:FILE` says what the real one once said: `< LINE` is its own, `> LINE` what it was told and must be
told again.
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

SESSION = "0abc0000-0000-4000-8000-000000000001"
WRITE = {"file_path": "/project/hello.txt", "content": "hello\n"}
SUGGESTED = [
    {"type": "addRules", "rules": [{"toolName": "Write"}], "behavior": "allow", "destination": "localSettings"},
    {"type": "setMode", "mode": "acceptEdits", "destination": "session"},
]
QUESTIONS = [
    {
        "question": "Which colour?",
        "header": "Colour",
        "options": [{"label": "Red", "description": "like a rose"}, {"label": "Blue", "description": "like the sea"}],
        "multiSelect": False,
    },
    {"question": "Which sizes?", "header": "Size", "options": [{"label": "S"}, {"label": "L"}], "multiSelect": True},
]


class Agent:
    def __init__(self, scenario: str, notes: str, flags: list[str]) -> None:
        self.scenario, self.notes = scenario, notes
        self.old = scenario.startswith("old-")  # one that does not tell when it is idle
        self.asked = 0
        self.note(what="flags", flags=flags)

    def note(self, **said: Any) -> None:
        with Path(self.notes).open("a", encoding="utf-8") as file:
            file.write(json.dumps(said) + "\n")

    def send(self, kind: str, /, **said: Any) -> None:
        sys.stdout.write(json.dumps({"type": kind, **said}) + "\n")
        sys.stdout.flush()

    def receive(self) -> dict[str, Any]:
        line = sys.stdin.readline()
        if not line:
            self.note(what="eof")
            sys.exit(self.code)
        said: dict[str, Any] = json.loads(line)
        self.note(what=said["type"], said=said)
        return said

    code = 0  # of its exit

    def state(self, state: str) -> None:
        if not self.old:
            self.send("system", subtype="session_state_changed", state=state)

    def say(self, text: str) -> None:
        self.block(type="text", text=text)

    def block(self, **block: Any) -> None:
        self.send("assistant", message={"role": "assistant", "content": [block]}, parent_tool_use_id=None)

    def result(self, text: str, **more: Any) -> None:
        usage = {"inputTokens": 10, "cacheReadInputTokens": 5, "cacheCreationInputTokens": 0, "outputTokens": 4}
        spent = {"model-1": {**usage, "costUSD": 0.5}}
        good = {"subtype": "success", "is_error": False, "terminal_reason": "completed"}
        said = {**good, "result": text, "model_usage_since_last_result": spent, "session_id": SESSION, **more}
        self.send("result", **said)

    def interrupted(self) -> None:
        self.send("user", message={"content": [{"type": "text", "text": "[Request interrupted by user]"}]})
        aborted = {"subtype": "error_during_execution", "is_error": True, "terminal_reason": "aborted_tools"}
        self.result("", **aborted)
        self.code = 1

    def replay(self, file: Path) -> None:
        for line in file.read_text(encoding="utf-8").splitlines():
            said = json.loads(line[2:])
            if line.startswith("> "):
                if (told := self.receive()) != said:
                    self.note(what="unlike", told=told, recorded=said)
                    sys.exit(9)
            else:
                sys.stdout.write(line[2:] + "\n")
                sys.stdout.flush()
                if said["type"] == "result":
                    self.code = int(said["is_error"])
        while True:
            self.receive()

    def main(self) -> None:
        if self.scenario.startswith("replay:"):
            self.replay(Path(self.scenario.partition(":")[2]))
        if self.scenario == "dies-at-once":
            sys.stderr.write("error: unknown option '--permission-prompt-tool'\n")
            sys.exit(1)
        if self.scenario == "silent":
            self.receive()
            time.sleep(3600)
        if self.scenario == "unknown-session":
            errors = ["No conversation found with session ID: x"]
            self.result("", subtype="error_during_execution", is_error=True, errors=errors)
            sys.exit(1)
        hello = self.receive()
        if self.scenario == "garbage":
            for number in range(20):
                print("this is no JSON", number, "\x1b[31m")
            print("[1,2]\n7\nnull", flush=True)
        if self.scenario == "refuses":
            self.respond(hello["request_id"], "error", error="not today")
            self.receive()
        self.respond(hello["request_id"], "success", response={"commands": [{"name": "x" * 1000}], "pid": os.getpid()})
        prompt = self.receive()
        self.state("running")
        self.init()
        self.turn(prompt["message"]["content"])
        self.state("idle")
        while True:
            self.receive()

    def init(self) -> None:
        self.send("system", subtype="init", session_id=SESSION, model="model-1", claude_code_version="2.1.329")

    def respond(self, ident: str, subtype: str, **more: Any) -> None:
        self.send("control_response", response={"subtype": subtype, "request_id": ident, **more})

    def turn(self, prompt: str) -> None:
        scenario = self.scenario.removeprefix("old-")
        if scenario in ("tool", "tools", "question", "strange-question", "withdraws"):
            self.say("Let me see.")
            getattr(self, scenario.replace("-", "_"))()
            return
        if scenario == "cancel":
            child = subprocess.Popen(["sleep", "3600"])
            self.note(what="child", pid=child.pid)
            self.say("working")
            said = self.receive()
            assert said["request"] == {"subtype": "interrupt"}, said
            self.respond(said["request_id"], "success", response={})
            self.interrupted()
            return
        if scenario in ("stubborn", "leaves", "lingers"):
            self.stubborn(scenario)
            return
        if scenario == "crash":
            sys.stderr.write("fatal: out of ideas\n")
            sys.stderr.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        if scenario == "cut":
            sys.stdout.write('{"type":"assistant","mess')
            sys.stdout.flush()
            sys.exit(0)
        if scenario == "closes":
            os.close(1)
            time.sleep(3600)
        if scenario == "bad-exit":
            self.code = 3
        if scenario == "huge":
            sys.stdout.write('{"type":"assistant","x":"')
            for _ in range(50):
                sys.stdout.write("y" * (1 << 20))
            sys.stdout.write('"}\n')
        if scenario == "surprises":
            self.surprises()
        if scenario == "unoffered":
            request = {"subtype": "hook_callback", "callback_id": "h"}
            self.send("control_request", request_id="r9", request=request)
            self.note(what="unoffered", answer=self.receive())
        if scenario == "denied-key":
            text = "Failed to authenticate. API Error: 401"
            self.send("assistant", message={"content": text}, is_api_error_message=True, error="authentication_failed")
            self.result(text, is_error=True, terminal_reason="api_error", api_error_status=401)
            self.code = 1
            return
        if scenario.startswith("background"):
            self.background(scenario)
        self.say("Done.")
        self.result(f"Done: {prompt}")

    def background(self, how: str) -> None:
        """A turn ends while something runs on; then it has ended too, and begins a turn, or not."""
        self.send("system", subtype="background_tasks_changed", tasks=[{"task_id": "b1"}])
        self.result("It runs on.")
        self.state("idle")
        if how == "background-for-ever":
            child = subprocess.Popen(["sleep", "3600"])
            self.note(what="child", pid=child.pid)
            self.say("in vain")
            while True:
                self.receive()
        self.send("system", subtype="background_tasks_changed", tasks=[])
        if how == "background-unheard":
            while True:
                self.receive()
        self.state("running")
        self.init()
        self.finish(self.answers(self.ask("Write", WRITE)))

    def ask(self, tool: str, given: dict[str, Any], **more: Any) -> str:
        self.asked += 1
        ident, use = f"r{self.asked}", f"t{self.asked}"
        self.block(type="tool_use", id=use, name=tool, input=given)
        request = {"subtype": "can_use_tool", "tool_name": tool, "input": given, "tool_use_id": use, **more}
        self.send("control_request", request_id=ident, request=request)
        self.state("requires_action")
        return ident

    def answers(self, *asked: str) -> dict[str, dict[str, Any]]:
        """To all of these, in whatever order; ends the turn itself when it is interrupted meanwhile."""
        found: dict[str, dict[str, Any]] = {}
        while len(found) < len(asked):
            said = self.receive()
            if said["type"] == "control_request":
                self.respond(said["request_id"], "success", response={})
                self.interrupted()
                self.state("idle")
                while True:
                    self.receive()
            found[said["response"]["request_id"]] = said["response"]["response"]
        self.note(what="answers", answers=found)
        self.state("running")
        return found

    def finish(self, answers: dict[str, dict[str, Any]]) -> None:
        for ident, answer in answers.items():
            allowed = answer["behavior"] == "allow"
            content = "written" if allowed else answer["message"]
            block = {"type": "tool_result", "tool_use_id": f"t{ident[1:]}", "content": content, "is_error": not allowed}
            self.send("user", message={"role": "user", "content": [block]})
        self.say("So be it.")
        self.result("So be it.")

    def tool(self) -> None:
        suggestions = {"permission_suggestions": SUGGESTED, "description": "Write a greeting"}
        self.finish(self.answers(self.ask("Write", WRITE, **suggestions)))

    def tools(self) -> None:
        first, second = self.ask("Bash", {"command": "make one"}), self.ask("Bash", {"command": "make two"})
        self.finish(self.answers(first, second))

    def question(self) -> None:
        self.finish(self.answers(self.ask("AskUserQuestion", {"questions": QUESTIONS})))

    def strange_question(self) -> None:
        self.finish(self.answers(self.ask("AskUserQuestion", {"questions": [{"question": 7}]})))

    def withdraws(self) -> None:
        first, second = self.ask("Bash", {"command": "make one"}), self.ask("Bash", {"command": "make two"})
        self.answers(second)
        self.send("control_cancel_request", request_id=first)
        self.finish(self.answers(self.ask("Bash", {"command": "make three"})))

    def stubborn(self, how: str) -> None:
        """Ignores what ends others, leaves a tool behind, or does not end when all is said."""
        code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(3600)"
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
        assert child.stdout is not None
        child.stdout.readline()
        self.note(what="child", pid=child.pid)
        if how == "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            self.say("working")
            time.sleep(3600)
        self.result("Done.")
        if how == "lingers":
            self.state("idle")
            time.sleep(3600)

    def surprises(self) -> None:
        """Values of every wrong shape, where the protocol promises another."""
        for shape in (None, 7, "x", [], {}, [[]], {"type": 3}, True):
            for kind in ("assistant", "user", "system", "stream_event", "control_request", "control_response", 5):
                for key in ("message", "request", "response", "event", "subtype", "request_id", "state"):
                    sys.stdout.write(json.dumps({"type": kind, key: shape}) + "\n")
            self.send("control_cancel_request", request_id=shape)
            for key in ("input", "permission_suggestions", "tool_name", "description", "blocked_path", "tool_use_id"):
                request = {"subtype": "can_use_tool", "tool_name": "Bash", "input": {}, key: shape}
                self.send("control_request", request_id=f"s{self.asked}", request=request)
                self.asked += 1
        waited = {f"s{number}" for number in range(self.asked)}
        while waited:
            said = self.receive()
            if said["type"] == "control_response":
                waited.discard(said["response"]["request_id"])


if __name__ == "__main__":
    Agent(sys.argv[1], sys.argv[2], sys.argv[3:]).main()

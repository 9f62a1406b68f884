"""One turn with Codex over the stdin and stdout of `codex app-server`: requests, answers and news as JSON lines.

What its news mean is told in the words of `codex exec --json`, and what those mean, and how the turn went, by the
parser of its one-shot runs. The program ends by itself, with exit code 0, once its input is closed.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from typing import Any

from lite.aio.tasks import Job, Jobs
from lite.drivers.agent import Agent, Gone
from lite.drivers.codex_asks import settle
from lite.drivers.codex_news import News
from lite.drivers.desk import Desk
from lite.drivers.lines import Lines
from lite.drivers.outcome import Failed, Outcome
from lite.drivers.spec import Spec
from providers.base import EventKind, Failure
from providers.codex_events import CodexParser
from providers.codex_failures import Cause, cause_in_stderr, cause_of, plain
from providers.parsing import Oversized, mapping_of, read_json, text_of

_EXIT_SECONDS = 2.0  # from the end of its output to its exit code
_MOST_ASKING = 200  # requests at a time; nothing more is read meanwhile
_NO_SUCH_METHOD = -32601
_INTERRUPTED = 130  # the exit code by which a one-shot run tells of it
_VERSION = re.compile(r"/(\d+\.\d+\.\d+\S*)")
# of no use here, and each of the first is as long as all that was changed so far
_UNWANTED = ["turn/diff/updated", "thread/started", "account/rateLimits/updated", "remoteControl/status/changed"]


def begin(spec: Spec, agent: Agent, desk: Desk, lines: Lines) -> Codex:
    return Codex(spec, agent, desk, lines)


class Codex:
    """A conversation of one turn."""

    def __init__(self, spec: Spec, agent: Agent, desk: Desk, lines: Lines) -> None:
        self._spec, self._agent, self._desk, self._lines = spec, agent, desk, lines
        self._parser = CodexParser(int(time.time() * 1000), spec.model)
        self._parser.stderr = agent.tail
        self._news = News(lines, self._parser)
        self._ids = itertools.count(1)
        self._awaited: int | None = None  # the id of our request that is not answered yet
        self._answer: dict[str, Any] = {}
        self._asking: dict[int | str, Job] = {}
        self._jobs = Jobs("driver.codex")
        self._prompting = False
        self._closed = False  # its input
        self._begun = asyncio.Event()  # the turn has an id

    def __repr__(self) -> str:
        return f"<Codex {self._news.thread} {self._news.turn} {self._news.ended or 'not ended'}>"

    async def converse(self) -> Outcome:
        try:
            await self._greet()
            await self._open()
            self._prompting = True
            params = {"threadId": self._news.thread, "input": _input(self._spec.prompt)}
            started = await self._request("turn/start", params)
            self._news.turn = text_of(mapping_of(started.get("turn")).get("id")) or self._news.turn
            self._begun.set()
            while not self._news.ended and await self._next():
                pass
        except Gone:
            pass  # it has ended; what it said last tells why
        finally:
            self._prompting = False
            await self._jobs.cancel()
        return await self._farewell()

    async def cancel(self) -> bool:
        if not self._prompting:
            return False
        await self._begun.wait()
        params = {"threadId": self._news.thread, "turnId": self._news.turn}
        await self._send({"id": next(self._ids), "method": "turn/interrupt", "params": params})
        return True

    async def _say(self, text: str) -> None:
        """Words for the turn that runs; refused, which nobody waits for, when it runs no longer."""
        params = {"threadId": self._news.thread, "expectedTurnId": self._news.turn, "input": _input(text)}
        await self._send({"id": next(self._ids), "method": "turn/steer", "params": params})

    async def _greet(self) -> None:
        about = {"name": "quarterdeck", "title": "Quarterdeck", "version": "0"}
        wishes = {"experimentalApi": False, "requestAttestation": False, "optOutNotificationMethods": _UNWANTED}
        hello = await self._request("initialize", {"clientInfo": about, "capabilities": wishes})
        await self._send({"method": "initialized"})
        found = _VERSION.search(text_of(hello.get("userAgent"))[:500])
        self._version = found[1] if found else ""

    async def _open(self) -> None:
        """A new conversation, or the earlier one: told everything again, or it would keep to what was said then."""
        spec = self._spec
        own = spec.own or {}
        params = {"cwd": spec.cwd or None, "model": spec.model or None, "approvalsReviewer": "user"}
        params |= {
            name: own[key] for name, key in (("approvalPolicy", "approval"), ("sandbox", "sandbox")) if own.get(key)
        }
        if spec.resume:
            opened = await self._request("thread/resume", {"threadId": spec.resume, "excludeTurns": True, **params})
        else:
            opened = await self._request("thread/start", params)
        self._news.thread = text_of(mapping_of(opened.get("thread")).get("id"))
        if not self._news.thread:
            raise Failed(Failure.AGENT, "the agent opened a conversation without an id")
        self._news.model = text_of(opened.get("model"))[:200] or spec.model
        data = {"session": self._news.thread, "agent": "codex", "version": self._version, "resumed": bool(spec.resume)}
        self._lines.say(EventKind.INIT, "", {**data, "model": self._news.model}, opened)

    async def _farewell(self) -> Outcome:
        """It ends once its input does. Who does not, is ended by the frame."""
        self._closed = True
        self._agent.close_input()
        try:
            async with asyncio.timeout(self._spec.close_ms / 1000):
                while await self._next():
                    pass
                await self._agent.wait(_EXIT_SECONDS)
        except TimeoutError:
            pass
        if self._agent.exited.done():
            code = self._agent.exited.result()
        elif self._news.ended:
            code = 0
        else:
            raise Gone
        if self._news.ended == "interrupted":
            code = _INTERRUPTED
        found = self._parser.verdict(code if code >= 0 else None, -code if code < 0 else None)
        text = (found.output or "") if found.ok else found.message
        return Outcome(found.ok, text, found.reason, found.infrastructure, found.until, found.after_ms, found.account)

    async def _request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Its answer. Raises `Failed` when it refuses or does not answer in time, `Gone`."""
        bound = self._spec.start_ms / 1000
        ident = self._awaited = next(self._ids)
        try:
            async with asyncio.timeout(bound):
                await self._send({"id": ident, "method": method, "params": params})
                while not self._answered():
                    if not await self._next():
                        raise Gone
        except TimeoutError:
            raise Failed(Failure.NO_RESULT, f"the agent did not answer {method} within {bound:g} s") from None
        if "error" in self._answer:
            raise Failed.of(_refused(self._answer["error"]))
        return mapping_of(self._answer.get("result"))

    def _answered(self) -> bool:
        return self._awaited is None

    async def _send(self, message: dict[str, Any]) -> None:
        await self._agent.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    async def _next(self) -> bool:
        """Take its next line; False at the end."""
        line = await self._agent.line()
        if line is None:
            return False
        if isinstance(line, Oversized):
            text = f"a line of {line.size} bytes was skipped"
            self._lines.say(EventKind.UNKNOWN, text, {"skipped_bytes": line.size})
        elif line.strip():
            said = read_json(line)
            if said is None:
                self._lines.say(EventKind.UNKNOWN, line[:1000].decode("utf-8", "replace"), {"malformed": True})
            else:
                await self._take(said)
        return True

    async def _take(self, said: dict[str, Any]) -> None:
        method, ident, params = text_of(said.get("method")), said.get("id"), mapping_of(said.get("params"))
        if not method:
            if self._awaited is not None and ident == self._awaited:
                self._awaited, self._answer = None, said
            else:
                self._lines.say(EventKind.UNKNOWN, "", {"type": "answer"}, said)
        elif "id" not in said:
            if method == "serverRequest/resolved" and (job := self._asking.get(_ident(params.get("requestId")))):
                job.cancel()
            self._news.take(method, params, said)
            if self._news.turn:
                self._begun.set()
        elif self._closed or isinstance(ident, bool) or not isinstance(ident, int | str) or ident in self._asking:
            self._lines.say(EventKind.UNKNOWN, "", {"type": method[:200]}, said)
        else:
            if len(self._asking) >= _MOST_ASKING:
                await asyncio.wait(self._asking.values(), return_when=asyncio.FIRST_COMPLETED)
            job = self._jobs.spawn(self._settle(ident, method, params, said), "driver.asked")
            self._asking[ident] = job
            job.add_done_callback(lambda _: self._asking.pop(ident, None))

    async def _settle(self, ident: int | str, method: str, params: dict[str, Any], raw: dict[str, Any]) -> None:
        try:
            result = await settle(self._desk, method, params, self._news.changes, raw, self._say)
            if result is None:
                self._lines.say(EventKind.UNKNOWN, "", {"type": method[:200]}, raw)
                error = {"code": _NO_SUCH_METHOD, "message": "this is not offered here"}
                await self._send({"id": ident, "error": error})
            else:
                await self._send({"id": ident, "result": result})
        except Gone:
            pass  # whoever reads its output finds out


def _input(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text, "text_elements": []}]


def _ident(value: object) -> int | str:
    return value if isinstance(value, int | str) else ""


def _refused(error: object) -> Outcome:
    """What it means that a request was answered with an error: it has words only."""
    message = text_of(mapping_of(error).get("message"))[:4000] or "the agent refused without a word"
    cause = cause_in_stderr(message, 1) or cause_of(message) or Cause(Failure.AGENT)
    return Outcome(
        False, plain(message), cause.reason, cause.infrastructure, cause.until, cause.after_ms, cause.account
    )

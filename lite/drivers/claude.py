"""One turn with Claude Code over its stdin and stdout: JSON lines both ways, with its control protocol in between.

What its lines mean, and how the turn went, is told by the parser that reads its one-shot runs. After a result it may go
on by itself, with what ran in the background: it is waited for until it is idle and nothing of that runs. Older ones do
not tell; with those the result is the end.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterable
from typing import Any

from lite.aio.tasks import Job, Jobs
from lite.drivers.agent import Agent, Gone
from lite.drivers.claude_asks import settle
from lite.drivers.desk import Desk
from lite.drivers.lines import Lines
from lite.drivers.outcome import Failed, Outcome
from lite.drivers.spec import Spec
from providers.base import AgentEvent, EventKind, Failure
from providers.claude_events import ClaudeParser
from providers.parsing import Oversized, mapping_of, read_json, text_of

_EXIT_SECONDS = 2.0  # from the end of its output to its exit code
_NEWS_SECONDS = 2.0  # from the end of the last thing in the background to the turn it begins
_MOST_ASKING = 200  # requests at a time; nothing more is read meanwhile


def begin(spec: Spec, agent: Agent, desk: Desk, lines: Lines) -> Claude:
    return Claude(spec, agent, desk, lines)


class Claude:
    """A conversation of one turn."""

    def __init__(self, spec: Spec, agent: Agent, desk: Desk, lines: Lines) -> None:
        self._spec, self._agent, self._desk, self._lines = spec, agent, desk, lines
        self._parser = ClaudeParser()
        self._parser.stderr = agent.tail
        self._ids = itertools.count(1)
        self._asking: dict[str, Job] = {}
        self._jobs = Jobs("driver.claude")
        self._greeting = ""  # the id of our first request, until it is answered
        self._closed = False  # its input
        self._working = False
        self._cancelling = False
        self._tells_state = False
        self._background = False  # something runs there
        self._has_result = False
        self._over = False

    def __repr__(self) -> str:
        states = {"over": self._over, "working": self._working, "waiting for the background": self._background}
        return f"<Claude {next((name for name, so in states.items() if so), 'idle')}, {len(self._asking)} asked>"

    async def converse(self) -> Outcome:
        try:
            await self._greet()
            self._working = True
            message = {"role": "user", "content": self._spec.prompt}
            await self._send({"type": "user", "message": message, "parent_tool_use_id": None, "session_id": ""})
            await self._work()
        except Gone:
            pass  # it has ended; what it said last tells why
        finally:
            self._working = False
            await self._jobs.cancel()
        return await self._farewell()

    async def cancel(self) -> bool:
        if self._working:
            self._cancelling = True
            await self._request("interrupt")
        return self._working

    async def _work(self) -> None:
        """Until all is over, or it has ended."""
        while not self._over:
            perhaps = self._has_result and not self._working and not self._background
            try:
                async with asyncio.timeout(_NEWS_SECONDS if perhaps else None):
                    if not await self._next():
                        return
            except TimeoutError:
                return

    async def _greet(self) -> None:
        """Raises `Failed` when it does not answer in time, `Gone` when it ends."""
        bound = self._spec.start_ms / 1000
        try:
            async with asyncio.timeout(bound):
                self._greeting = await self._request("initialize")
                while self._greeting:
                    if not await self._next():
                        raise Gone
        except TimeoutError:
            raise Failed(Failure.NO_RESULT, f"the agent did not answer initialize within {bound:g} s") from None

    async def _farewell(self) -> Outcome:
        """It ends once its input does, and so says what it has not said yet. Who does not, is ended by the frame."""
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
            if code != 0 or not self._has_result:
                await self._agent.last_words()
        elif self._has_result:
            code = 0
        else:
            raise Gone
        found = self._parser.verdict(code if code >= 0 else None, -code if code < 0 else None)
        text = (found.output or "") if found.ok else found.message
        known = (found.infrastructure, found.until, found.after_ms, found.account)
        return Outcome(found.ok, text, found.reason, *known)

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
                self._tell(self._parser.feed("out", line + b"\n"), None)
            else:
                await self._take(said, line)
        return True

    async def _take(self, said: dict[str, Any], line: bytes) -> None:
        match said.get("type"):
            case "control_request":
                await self._asked(said)
            case "control_cancel_request":
                if job := self._asking.get(text_of(said.get("request_id"))):
                    job.cancel()
            case "control_response":
                self._answered(mapping_of(said.get("response")))
            case kind:
                self._tell(self._parser.on_object(said, line), said)
                if kind == "result":
                    self._has_result = True
                    self._over = not self._tells_state
                elif kind == "system":
                    self._follow(said)

    def _follow(self, said: dict[str, Any]) -> None:
        """Where it stands, in its own words."""
        match said.get("subtype"):
            case "init":  # another turn begins
                self._has_result = False
            case "background_tasks_changed":
                self._background = bool(said.get("tasks"))
            case "session_state_changed":
                self._tells_state = True
                self._working = said.get("state") != "idle"
                ended = self._cancelling or (self._has_result and not self._background)
                self._over = ended and not self._working

    def _tell(self, events: Iterable[AgentEvent], raw: dict[str, Any] | None) -> None:
        for event in events:
            if event.kind is EventKind.RESULT:
                continue  # the frame tells how it went, once all is over
            data = self._usage() if event.kind is EventKind.USAGE else event.data
            self._lines.say(event.kind, event.text, data, raw)
            raw = None  # once is enough

    def _usage(self) -> dict[str, Any]:
        usage = self._parser.usage
        tokens = {"tokens_in": usage.tokens_in, "tokens_out": usage.tokens_out, "tokens_cached": usage.tokens_cached}
        return {**tokens, "cost_usd": usage.cost_usd, "model": usage.model}

    async def _asked(self, said: dict[str, Any]) -> None:
        ident, request = text_of(said.get("request_id")), mapping_of(said.get("request"))
        if not ident or ident in self._asking or self._closed:
            self._tell([AgentEvent(EventKind.UNKNOWN, "", {"type": "control_request"})], said)
        elif request.get("subtype") == "can_use_tool":
            if len(self._asking) >= _MOST_ASKING:
                await asyncio.wait(self._asking.values(), return_when=asyncio.FIRST_COMPLETED)
            job = self._jobs.spawn(self._settle(ident, request, said), "driver.asked")
            self._asking[ident] = job
            job.add_done_callback(lambda _: self._asking.pop(ident, None))
        else:
            data = {"type": "control_request", "subtype": text_of(request.get("subtype"))[:100]}
            self._tell([AgentEvent(EventKind.UNKNOWN, "", data)], said)
            await self._reply(ident, error="this is not offered here")

    async def _settle(self, ident: str, request: dict[str, Any], raw: dict[str, Any]) -> None:
        try:
            await self._reply(ident, await settle(self._desk, request, raw))
        except Gone:
            pass  # whoever reads its output finds out

    def _answered(self, response: dict[str, Any]) -> None:
        """To a request of ours. What it offers (commands, models) is long and of no use here."""
        failed = response.get("subtype") == "error"
        data = {"type": "control_response", "ok": not failed}
        self._lines.say(EventKind.UNKNOWN, text_of(response.get("error"))[:1000], data)
        if self._greeting and response.get("request_id") == self._greeting:
            self._greeting = ""
            if failed:
                raise Failed(Failure.AGENT, text_of(response.get("error"))[:4000] or "the agent would not begin")

    async def _request(self, subtype: str) -> str:
        """Its id."""
        ident = f"qd-{next(self._ids)}"
        await self._send({"type": "control_request", "request_id": ident, "request": {"subtype": subtype}})
        return ident

    async def _reply(self, ident: str, answer: dict[str, Any] | None = None, error: str = "") -> None:
        told: dict[str, Any] = {"subtype": "error", "error": error} if error else {"subtype": "success"}
        if not error:
            told["response"] = answer
        await self._send({"type": "control_response", "response": {**told, "request_id": ident}})

    async def _send(self, message: dict[str, Any]) -> None:
        await self._agent.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

"""One turn with opencode by way of `opencode serve`: a server of its own for the session, ended with it.

Its event stream is open before the prompt is sent. Should it break, what is kept of the conversation is read again;
and it is read once more at the end, so that nothing depends on an event having arrived.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from typing import Any

from lite.aio.tasks import Job, Jobs
from lite.drivers.agent import Agent, Gone
from lite.drivers.desk import Desk
from lite.drivers.lines import Lines
from lite.drivers.opencode_asks import approval_options, approval_text, question_options, question_text, rules, words_of
from lite.drivers.opencode_server import Broken, Refused, Server
from lite.drivers.opencode_turn import Turn
from lite.drivers.outcome import Failed, Outcome
from lite.drivers.spec import Spec
from providers.base import EventKind, Failure
from providers.opencode_events import cause_of_plain_words
from providers.opencode_failures import Cause, cause_of_error
from providers.opencode_serve import PASSWORD
from providers.parsing import mapping_of, text_of

_TRIES = 6  # to hear it again, each twice as long after the last
_FIRST_PAUSE = 0.1  # seconds
_EXIT_SECONDS = 2.0  # from its last word to its exit
_WORDS_KEPT = 2_000  # characters of stderr in a message
_DENIED = "This was not allowed. Go on without it, as far as that is possible."

_UNANSWERED = "Nobody answers that. Decide for yourself."


def begin(spec: Spec, agent: Agent, desk: Desk, lines: Lines) -> OpenCode:
    return OpenCode(spec, agent, desk, lines)


class OpenCode:
    """A conversation of one turn."""

    def __init__(self, spec: Spec, agent: Agent, desk: Desk, lines: Lines) -> None:
        self._spec, self._agent, self._desk, self._lines = spec, agent, desk, lines
        own = spec.own or {}
        password = os.environ.get(PASSWORD, "")
        self._server = Server(agent, lines, password, spec.cwd, spec.start_ms / 1000)
        self._turn = Turn(lines, thinking=own.get("thinking") is not False, resumed=bool(spec.resume))
        self._asking = Jobs("driver.opencode.asks")
        self._asked: dict[str, Job] = {}  # by the program's id of the request
        self._prompted = 0.0  # when, by the loop's clock
        self._over = asyncio.Event()

    async def converse(self) -> Outcome:
        try:
            await self._server.start()
            await self._open()
            await self._follow()
            return self._turn.end()
        except Refused as error:
            raise Failed.of(_failed(cause_of_error(error.error, ""))) from error
        except Gone:
            await self._agent.wait(_EXIT_SECONDS)
            cause = None if self._turn.begun else cause_of_plain_words(self._agent.tail.text[-_WORDS_KEPT:])
            if cause is not None:
                raise Failed.of(_failed(cause)) from None
            raise
        except Broken as error:
            raise Failed(Failure.CUT_STREAM, f"opencode serve is not heard any more: {error}") from error
        finally:
            await self._asking.cancel()
            await self._server.close()

    async def cancel(self) -> bool:
        if not self._prompted:
            return False
        try:
            await self._server.post(f"/session/{self._turn.session}/abort")
        except (Refused, Broken):
            return False
        return True

    async def _open(self) -> None:
        """A new conversation, or the earlier one, with what is asked about in it."""
        health = mapping_of(await self._server.get("/global/health"))
        agent = self._worker(await self._server.get("/agent"))
        asks = rules(agent.get("permission")) if self._spec.permissions != "allow" else []
        if self._spec.resume:
            session = await self._resume(asks)
        else:
            wanted: dict[str, Any] = {"title": self._spec.text("title")}
            session = mapping_of(await self._server.post("/session", wanted | ({"permission": asks} if asks else {})))
        self._turn.session = text_of(session.get("id"))
        if not self._turn.session:
            raise Failed(Failure.AGENT, "opencode opened a conversation without an id")
        data = {
            "session": self._turn.session,
            "agent": "opencode",
            "version": text_of(health.get("version"))[:100],
            "resumed": bool(self._spec.resume),
        }
        self._lines.say(EventKind.INIT, "", data, session)

    def _worker(self, offered: object) -> dict[str, Any]:
        """The one asked for, or the one it takes by itself. Another would perhaps be allowed less, or more."""
        agents = [one for one in offered if isinstance(one, dict)] if isinstance(offered, list) else []
        wanted = self._spec.text("agent")
        if not wanted:
            return next((one for one in agents if one.get("mode") != "subagent" and not one.get("hidden")), {})
        found = next((one for one in agents if one.get("name") == wanted), None)
        if found is None:
            known = ", ".join(text_of(one.get("name"))[:100] for one in agents[:20])
            raise Failed(Failure.BAD_FLAG, f"opencode has no agent {wanted!r}, only: {known}")
        return found

    async def _resume(self, asks: list[dict[str, str]]) -> dict[str, Any]:
        ident = self._spec.resume
        try:
            session = mapping_of(await self._server.get(f"/session/{ident}"))
        except Refused as error:
            if error.status in (400, 404):
                raise Failed(Failure.UNKNOWN_SESSION, str(error)) from error
            raise
        began_in = text_of(session.get("directory"))
        if not _same(began_in, self._spec.cwd or "."):
            text = f"that conversation began in {began_in or 'no directory'}, and opencode goes on with it only there"
            raise Failed(Failure.UNKNOWN_SESSION, text)
        if (self._spec.own or {}).get("fork_session") is True:
            session = mapping_of(await self._server.post(f"/session/{ident}/fork", {}))
            ident = text_of(session.get("id"))
        if asks:
            await self._server.patch(f"/session/{ident}", {"permission": asks})
        last = await self._server.get(f"/session/{ident}/message", limit="1")
        for one in last if isinstance(last, list) else ():
            self._turn.after = max(self._turn.after, text_of(mapping_of(mapping_of(one).get("info")).get("id")))
        return session

    async def _prompt(self) -> None:
        body: dict[str, Any] = {"parts": [{"type": "text", "text": self._spec.prompt}]}
        if self._spec.model:
            provider, _, model = self._spec.model.partition("/")
            body["model"] = {"providerID": provider, "modelID": model}
        body |= {key: value for key in ("agent", "variant") if (value := self._spec.text(key))}
        await self._server.post(f"/session/{self._turn.session}/prompt_async", body)
        self._prompted = asyncio.get_running_loop().time()

    async def _follow(self) -> None:
        """Until the turn is over."""
        tries = 0
        while not self._over.is_set():
            try:
                async with aclosing(self._server.events()) as events:
                    async for event in events:
                        kind = text_of(event.get("type"))
                        tries = 0 if kind not in ("server.connected", "") else tries
                        await self._take(kind, mapping_of(event.get("properties")), event)
                        if self._over.is_set():
                            return
            except Broken as error:
                tries += 1
                if tries > _TRIES:
                    raise
                self._turn.gap()
                self._lines.say(EventKind.UNKNOWN, str(error)[:1000], {"type": "reconnect", "attempt": tries})
                await asyncio.sleep(_FIRST_PAUSE * 2 ** (tries - 1))

    async def _take(self, kind: str, properties: dict[str, Any], raw: dict[str, Any]) -> None:
        self._turn.take(kind, properties, raw)
        ours = text_of(properties.get("sessionID")) == self._turn.session
        match kind:
            case "server.connected":
                await (self._catch_up() if self._prompted else self._prompt())
            case "permission.asked" | "question.asked":
                self._ask(properties, question=kind == "question.asked")
                await asyncio.sleep(0)  # it is told in its place among the events
            case "permission.replied" | "question.replied" | "question.rejected":
                self._settled(text_of(properties.get("requestID")))
            case "session.idle" | "session.error" if ours:
                await self._see_whether_over()
            case "server.heartbeat" | "server.instance.disposed":
                await self._see_whether_over()

    async def _catch_up(self) -> None:
        """After events were lost."""
        asked: set[str] = set()
        for path, question in (("/permission", False), ("/question", True)):
            pending = await self._server.get(path)
            for one in pending if isinstance(pending, list) else ():
                asked.add(text_of(mapping_of(one).get("id")))
                self._ask(mapping_of(one), question=question)
        for ident in self._asked.keys() - asked:
            self._settled(ident)
        await self._read_again()
        await self._see_whether_over()

    async def _see_whether_over(self) -> None:
        """Nothing announces the end reliably: it is over when the server works on it no longer."""
        waited = asyncio.get_running_loop().time() - self._prompted if self._prompted else 0.0
        if not self._turn.begun and waited < self._spec.start_ms / 1000:
            return  # it has not begun perhaps
        status = mapping_of(await self._server.get("/session/status"))
        if mapping_of(status.get(self._turn.session)).get("type", "idle") == "idle":
            await self._read_again()
            self._over.set()

    async def _read_again(self) -> None:
        self._turn.read_again(await self._server.get(f"/session/{self._turn.session}/message"))

    def _ask(self, request: dict[str, Any], *, question: bool) -> None:
        ident = text_of(request.get("id"))
        if ident and ident not in self._asked:
            work = self._answer_question(ident, request) if question else self._answer_approval(ident, request)
            self._asked[ident] = self._asking.spawn(work)

    def _settled(self, ident: str) -> None:
        """Not by us perhaps: one refusal refuses all that its conversation asks."""
        job = self._asked.get(ident)
        if job is not None:
            job.cancel()

    async def _answer_approval(self, ident: str, request: dict[str, Any]) -> None:
        by_subagent = self._turn.is_child(text_of(request.get("sessionID")))
        text = approval_text(request, by_subagent=by_subagent)
        tool = mapping_of(request.get("tool"))
        data = {"tool": text_of(request.get("permission"))[:200], "tool_id": text_of(tool.get("callID"))[:200]}
        answer = await self._desk.ask("approval", text, approval_options(request), data, request)
        if answer.decision == "cancel":
            return  # the turn is aborted, and this with it
        reply = answer.text if answer.decision == "answer" else "once" if answer.decision == "allow" else "reject"
        # without a word of why it would stop there, and wait for a prompt that nobody types
        why = answer.text if answer.decision == "deny" else ""
        body = {"reply": reply} | ({"message": why or _DENIED} if reply == "reject" else {})
        await self._reply(f"/permission/{ident}/reply", body)

    async def _answer_question(self, ident: str, request: dict[str, Any]) -> None:
        answers: list[list[str]] = []
        questions = request.get("questions")
        for one in questions if isinstance(questions, list) else ():
            asked = mapping_of(one)
            free = asked.get("custom") is not False or asked.get("multiple") is True
            options = question_options(asked)
            answer = await self._desk.ask("question", question_text(asked), options, {}, request, free=free)
            if answer.decision == "cancel":
                return
            # dismissed it would stop there, as after a refusal without a word
            words = answer.text if answer.decision == "answer" else answer.text or _UNANSWERED
            answers.append(words_of(words, asked))
        await self._reply(f"/question/{ident}/reply", {"answers": answers})

    async def _reply(self, path: str, body: Any) -> None:
        """What cannot be delivered is asked again once the server is heard again."""
        self._asked.pop(path.split("/")[2], None)  # that it is settled must not cancel the very answer
        try:
            await self._server.post(path, body)
        except (Refused, Broken, Gone) as error:
            said = {"type": "reply", "path": path[:200]}
            self._lines.say(EventKind.UNKNOWN, f"the answer was not taken: {error}"[:1000], said)


def _same(one: str, other: str) -> bool:
    """Whether they name one directory."""
    return os.path.realpath(one) == os.path.realpath(other)


def _failed(cause: Cause) -> Outcome:
    return Outcome(False, cause.message, cause.reason, cause.infrastructure, cause.until, cause.after_ms, cause.account)

"""One turn with an agent of the Agent Client Protocol, version 1, over its stdin and stdout.

The agent is offered neither files nor terminals: it works in the directory by itself, and what it starts there is ended
with it. It may ask its user (`acp_forms`).
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

from acp.connection import Connection
from acp.exceptions import RequestError
from acp.meta import AGENT_METHODS, CLIENT_METHODS, PROTOCOL_VERSION
from acp.schema import (
    AllowedOutcome,
    AuthenticateRequest,
    CancelNotification,
    ClientCapabilities,
    DeniedOutcome,
    ElicitationCapabilities,
    ElicitationFormCapabilities,
    ElicitationUrlCapabilities,
    FileSystemCapabilities,
    Implementation,
    InitializeRequest,
    PromptRequest,
    RequestPermissionResponse,
    SetSessionModeRequest,
    TextContentBlock,
)
from pydantic import BaseModel

from lite.drivers.acp_forms import elicit
from lite.drivers.acp_updates import Updates, asked_text
from lite.drivers.acp_wire import Wire
from lite.drivers.agent import Agent, Gone
from lite.drivers.desk import Answer, Desk, Option
from lite.drivers.lines import Lines
from lite.drivers.outcome import Failed, Outcome, judge
from lite.drivers.spec import Spec
from providers.base import EventKind, Failure
from providers.parsing import mapping_of, text_of

_AUTH_REQUIRED = -32000
_NO_SUCH_METHOD = -32601
_NOT_FOUND = -32002
_REPLAY_SECONDS = 2.0


def begin(spec: Spec, agent: Agent, desk: Desk, lines: Lines) -> Acp:
    return Acp(spec, agent, desk, lines)


class Acp:
    """A conversation of one turn."""

    def __init__(self, spec: Spec, agent: Agent, desk: Desk, lines: Lines) -> None:
        self._spec, self._desk, self._lines = spec, desk, lines
        self._updates = Updates(lines)
        self._wire = Wire(agent, lines, self._updates.take)
        self._connection = Connection(self._asked, self._wire)
        self._session = ""
        self._prompting = False
        self._asking = 0
        self._bounds: dict[asyncio.Timeout, float] = {}  # seconds; they do not run while a person is asked

    async def converse(self) -> Outcome:
        try:
            return await self._turn()
        except ConnectionError as error:
            raise (self._wire.failed or Gone()) from error
        finally:
            self._updates.flush()
            await self._connection.close()

    async def cancel(self) -> bool:
        if self._prompting:
            await self._notify("session_cancel", CancelNotification(session_id=self._session))
        return self._prompting

    async def _turn(self) -> Outcome:
        agent = await self._greet()
        opened = await self._open(agent)
        who = mapping_of(agent.get("agentInfo"))
        self._wire.session = self._session
        data = {
            "session": self._session,
            "agent": text_of(who.get("name"))[:200],
            "version": text_of(who.get("version"))[:100],
            "resumed": bool(self._spec.resume),
        }
        self._lines.say(EventKind.INIT, "", data, opened)
        await self._choose(opened)
        if self._updates.replayed:
            self._lines.say(EventKind.UNKNOWN, "", {"replayed": self._updates.replayed})
        self._updates.begin_turn(fresh=not self._spec.resume)
        blocks: list[Any] = [TextContentBlock(type="text", text=self._spec.prompt)]
        self._prompting = True
        answer = await self._request("session_prompt", PromptRequest(session_id=self._session, prompt=blocks), None)
        self._prompting = False
        self._updates.end_turn(answer, answer)
        if answer.get("stopReason") == "end_turn" and (tool := self._updates.stopped_at):
            return Outcome(False, f"it stopped where it was not allowed to: {tool}", Failure.TOOL_REFUSED)
        return _ended(answer, self._updates.final)

    async def _greet(self) -> dict[str, Any]:
        can = ClientCapabilities(fs=FileSystemCapabilities(read_text_file=False, write_text_file=False))
        can.terminal = False
        can.elicitation = ElicitationCapabilities(form=ElicitationFormCapabilities(), url=ElicitationUrlCapabilities())
        hello = InitializeRequest(
            protocol_version=PROTOCOL_VERSION,
            client_capabilities=can,
            client_info=Implementation(name="quarterdeck", version="0"),
        )
        agent = await self._request("initialize", hello)
        spoken = agent.get("protocolVersion")
        if spoken != PROTOCOL_VERSION:
            said = spoken if isinstance(spoken, int) else "none"
            raise Failed(Failure.AGENT, f"the agent speaks version {said} of the protocol, not {PROTOCOL_VERSION}")
        if method := self._spec.text("auth_method"):
            await self._request("authenticate", AuthenticateRequest(method_id=method))
        return agent

    async def _open(self, agent: dict[str, Any]) -> dict[str, Any]:
        """A new conversation, or the earlier one."""
        own = self._spec.own or {}
        params: dict[str, Any] = {"cwd": self._spec.cwd, "mcpServers": own.get("mcp_servers") or []}
        if directories := self._spec.words("add_dirs"):
            params["additionalDirectories"] = directories
        resume = self._spec.resume
        if not resume:
            opened = await self._request("session_new", params)
            self._session = text_of(opened.get("sessionId"))
            if not self._session:
                raise Failed(Failure.AGENT, "the agent opened a conversation without an id")
            return opened
        can = mapping_of(agent.get("agentCapabilities"))
        if can.get("loadSession") is True:
            method = "session_load"
        elif "resume" in mapping_of(can.get("sessionCapabilities")):
            method = "session_resume"
        else:
            text = "not resumable: this agent cannot load earlier conversations"
            raise Failed(Failure.UNKNOWN_SESSION, text, infrastructure=True)
        self._updates.replaying = True
        try:
            opened = await self._request(method, {"sessionId": resume, **params}, unknown=Failure.UNKNOWN_SESSION)
            await self._all_replayed()
        finally:
            self._updates.replaying = False
        self._session = resume
        return opened

    async def _all_replayed(self) -> None:
        """Some answer that the conversation is loaded and tell what was said in it afterwards. So it is asked something
        no agent knows: its refusal comes after all of that."""
        try:
            async with asyncio.timeout(_REPLAY_SECONDS):
                await self._connection.send_request("_quarterdeck/loaded", {})
        except (TimeoutError, RequestError):
            pass

    async def _choose(self, opened: dict[str, Any]) -> None:
        """The mode and the model that were asked for."""
        if mode := self._spec.text("mode"):
            modes = _offered(mapping_of(opened.get("modes")).get("availableModes"), "id")
            if mode not in modes:
                raise Failed(Failure.BAD_FLAG, f"the agent has no mode {mode!r}, only: {_listed(modes)}")
            await self._request("session_set_mode", SetSessionModeRequest(session_id=self._session, mode_id=mode))
        if not self._spec.model:
            return
        model = self._spec.model
        for one in _objects(opened.get("configOptions")):
            if one.get("category") == "model" and isinstance(one.get("id"), str):
                _check_model(model, _choices(one.get("options")))
                params = {"sessionId": self._session, "configId": one["id"], "value": model}
                await self._request("session_set_config_option", params, unknown=Failure.BAD_MODEL)
                return
        models = _offered(mapping_of(opened.get("models")).get("availableModels"), "modelId")
        if not models:
            raise Failed(Failure.BAD_MODEL, f"the agent lets nobody choose a model (asked for: {model})")
        _check_model(model, models)
        # of the protocol's earlier drafts; agents still have it and the library does not
        await self._send("session/set_model", {"sessionId": self._session, "modelId": model}, Failure.BAD_MODEL)

    async def _request(
        self,
        name: str,
        params: BaseModel | dict[str, Any],
        seconds: float | None = -1.0,
        unknown: Failure = Failure.AGENT,
    ) -> dict[str, Any]:
        """The answer. Raises `Failed` for an error (`unknown` when its words tell nothing) and when none comes in time
        (a negative number: the spec's `start_ms`), ConnectionError."""
        return await self._send(AGENT_METHODS[name], _dumped(params), unknown, seconds)

    async def _send(self, method: str, params: Any, unknown: Failure, seconds: float | None = -1.0) -> dict[str, Any]:
        bound = self._spec.start_ms / 1000 if seconds is not None and seconds < 0 else seconds
        try:
            async with asyncio.timeout(bound) as limit:
                if bound is not None:
                    self._bounds[limit] = bound
                try:
                    return mapping_of(await self._connection.send_request(method, params))
                finally:
                    self._bounds.pop(limit, None)
        except TimeoutError:
            text = f"the agent did not answer {method} within {bound:g} s"
            text += f"; it printed: {self._wire.garbage}" if self._wire.garbage else ""
            raise Failed(Failure.NO_RESULT, text) from None
        except RequestError as error:
            raise Failed.of(_refused(error, unknown)) from error

    async def _notify(self, name: str, params: BaseModel) -> None:
        await self._connection.send_notification(AGENT_METHODS[name], _dumped(params))

    async def _asked(self, method: str, params: Any, is_notification: bool) -> Any:
        """What the agent wants of us."""
        if is_notification:
            self._lines.say(EventKind.UNKNOWN, "", {"type": method[:200]}, params)
            return None
        said = mapping_of(params)
        if method == CLIENT_METHODS["elicitation_create"]:
            return await self._elicited(said)
        if method != CLIENT_METHODS["session_request_permission"]:
            raise RequestError.method_not_found(method[:200])
        call = mapping_of(said.get("toolCall"))
        name = self._updates.asked(call, said)
        options = [_option(one) for one in _objects(said.get("options"))]
        data = {"tool": name, "tool_id": text_of(call.get("toolCallId"))[:200]}
        answer = await self._desk.ask("approval", asked_text(call), options, data, said)
        chosen = _chosen(answer, options)
        if chosen is None or any(one.id == chosen and one.allows is False for one in options):
            self._updates.refused(name)
        if chosen is None:
            return RequestPermissionResponse(outcome=DeniedOutcome(outcome="cancelled"))
        return RequestPermissionResponse(outcome=AllowedOutcome(outcome="selected", option_id=chosen))

    async def _elicited(self, said: dict[str, Any]) -> Any:
        self._updates.flush()
        self._asking += 1
        for limit in self._running_bounds():
            limit.reschedule(None)
        try:
            return await elicit(self._desk, said)
        finally:
            self._asking -= 1
            if not self._asking:
                now = asyncio.get_running_loop().time()
                for limit in self._running_bounds():
                    limit.reschedule(now + self._bounds[limit])

    def _running_bounds(self) -> list[asyncio.Timeout]:
        return [limit for limit in self._bounds if not limit.expired()]


_ALLOWS = {"allow_once": True, "allow_always": True, "reject_once": False, "reject_always": False}


def _option(said: dict[str, Any]) -> Option:
    kind = text_of(said.get("kind"))
    name = text_of(said.get("name"))
    return Option(text_of(said.get("optionId")), name, _ALLOWS.get(kind), kind.endswith("_always"))


def _chosen(answer: Answer, options: list[Option]) -> str | None:
    """The id of an option; None cancels the request, which refuses it too."""
    if answer.decision == "answer":
        return answer.text
    wanted = {"allow": True, "deny": False}.get(answer.decision)
    fitting = [one for one in options if wanted is not None and one.allows is wanted]
    # what holds for longer than this once is taken only when a person names it, or when there is nothing else
    once = [one for one in fitting if not one.lasting]
    return next((one.id for one in (*once, *fitting)), None)


def _ended(answer: dict[str, Any], final: str) -> Outcome:
    match answer.get("stopReason"):
        case "end_turn":
            return Outcome(True, final)
        case "cancelled":
            return Outcome(False, "the agent cancelled its turn", Failure.CANCELLED)
        case "max_turn_requests":
            return Outcome(False, "the agent has reached its own limit of steps", Failure.MAX_TURNS)
        case "max_tokens":
            return Outcome(False, "the answer has reached its limit of tokens", Failure.AGENT)
        case "refusal":
            return Outcome(False, final or "the agent refuses to go on", Failure.AGENT)
        case other:
            return Outcome(False, f"the agent stopped for a reason nobody knows: {str(other)[:100]}", Failure.AGENT)


def _refused(error: RequestError, unknown: Failure) -> Outcome:
    """What an error means: by its code where that is the protocol's, then by its words."""
    data = error.data
    details = mapping_of(data).get("details", mapping_of(data).get("message", data))
    more = details if isinstance(details, str) else ("" if details is None else json.dumps(details, default=str))
    text = str(error)[:4000] + (f": {more[:4000]}" if more and more not in str(error) else "")
    if error.code == _AUTH_REQUIRED:
        return Outcome(False, text, Failure.NOT_LOGGED_IN, account=True)
    if error.code == _NOT_FOUND and unknown is Failure.UNKNOWN_SESSION:
        return Outcome(False, text, unknown, infrastructure=True)
    if error.code == _NO_SUCH_METHOD:
        return Outcome(False, text, unknown)
    found = judge(text, error.code if 400 <= error.code < 600 else None, unknown)
    # that a conversation is gone is nobody's failure: the next attempt begins a new one
    return replace(found, infrastructure=True) if found.reason is Failure.UNKNOWN_SESSION else found


def _check_model(model: str, models: list[str]) -> None:
    if models and model not in models:
        raise Failed(Failure.BAD_MODEL, f"the agent has no model {model!r}, only: {_listed(models)}")


def _choices(options: object) -> list[str]:
    """The values of a select, which may be grouped."""
    found = []
    for one in _objects(options):
        inner = one.get("options")
        found += _choices(inner) if isinstance(inner, list) else _offered([one], "value")
    return found


def _offered(entries: object, key: str) -> list[str]:
    return [text_of(one.get(key)) for one in _objects(entries)]


def _objects(entries: object) -> list[dict[str, Any]]:
    return [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []


def _listed(names: list[str]) -> str:
    shown = ", ".join(name[:100] for name in names[:20])
    return f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown or "none"


def _dumped(params: BaseModel | dict[str, Any]) -> Any:
    if isinstance(params, BaseModel):
        return params.model_dump(mode="json", by_alias=True, exclude_none=True)
    return params

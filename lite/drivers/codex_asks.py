"""What Codex asks, as questions for a person, and what the answers are in its own words."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from lite.drivers.desk import Answer, Desk, Option
from providers.parsing import mapping_of, text_of

_MOST_QUESTIONS = 20
_ACCEPT, _SESSION, _DECLINE, _CANCEL = "accept", "acceptForSession", "decline", "cancel"
_OPTIONS = {
    _ACCEPT: Option(_ACCEPT, "Allow", True),
    _SESSION: Option(_SESSION, "Allow for this session", True, lasting=True),
    _DECLINE: Option(_DECLINE, "Deny", False),
    _CANCEL: Option(_CANCEL, "Deny and end the turn", False, lasting=True),
}
_KNOWN = ("threadId", "turnId", "itemId", "startedAtMs", "environmentId", "approvalId", "availableDecisions")

Say = Callable[[str], Awaitable[None]]


async def settle(
    desk: Desk, method: str, params: Mapping[str, Any], changes: Mapping[str, Any], raw: Any, say: Say
) -> dict[str, Any] | None:
    """The answer to one request; None for what is not offered. `changes` as in `News`; `say` tells it a person's words,
    for which its answers have no room."""
    match method:
        case "item/commandExecution/requestApproval":
            return {"decision": await _ask(desk, command_text(params), "shell", params, raw, say)}
        case "item/fileChange/requestApproval":
            told = changes.get(text_of(params.get("itemId")))
            return {"decision": await _ask(desk, change_text(params, told), "file_change", params, raw, say)}
        case "item/permissions/requestApproval":
            wanted = mapping_of(params.get("permissions"))
            text = _told("Allow it more than its sandbox does", params)
            decision = await _ask(desk, text, "permissions", {**params, "availableDecisions": [_SESSION]}, raw, say)
            allowed = decision in (_ACCEPT, _SESSION)
            granted = {name: value for name, value in wanted.items() if value is not None} if allowed else {}
            return {"permissions": granted, "scope": "session" if decision == _SESSION else "turn"}
        case "mcpServer/elicitation/request":
            return await _elicit(desk, params, raw)
        case "item/tool/requestUserInput":
            return await _ask_questions(desk, params, raw)
        case _:
            return None


def command_text(params: Mapping[str, Any]) -> str:
    """All a person must know to allow a command."""
    command = text_of(params.get("command"))
    if not command:
        return _told("Run a command", params)
    parts = [command]
    if cwd := text_of(params.get("cwd")):
        parts.append(f"in {cwd}")
    if host := text_of(mapping_of(params.get("networkApprovalContext")).get("host")):
        parts.append(f"it reaches {host}")
    if params.get("kind") not in (None, "command"):
        parts.append(f"kind: {params['kind']}")
    if why := text_of(params.get("reason")):
        parts.append(f"why it asks: {why}")
    return "\n".join(parts)


def change_text(params: Mapping[str, Any], changes: object) -> str:
    """The files and what would become of them."""
    parts = []
    for one in changes if isinstance(changes, list) else ():
        change = mapping_of(one)
        kind = mapping_of(change.get("kind"))
        moved = f" -> {kind['move_path']}" if kind.get("move_path") else ""
        head = f"{text_of(kind.get('type')) or 'change'} {text_of(change.get('path'))}{moved}"
        parts.append(f"{head}:\n{text_of(change.get('diff'))}")
    if not parts:
        return _told("Change files, it does not say how", params)
    if root := text_of(params.get("grantRoot")):
        parts.append(f"and whatever lies in {root}, for this session")
    if why := text_of(params.get("reason")):
        parts.append(f"why it asks: {why}")
    return "\n".join(parts)


async def _ask(desk: Desk, text: str, tool: str, params: Mapping[str, Any], raw: Any, say: Say) -> str:
    """The decision, in its own word."""
    named = params.get("availableDecisions")
    names = [one for one in named if isinstance(one, str)] if isinstance(named, list) else list(_OPTIONS)
    # to deny is always possible. Rules it would write into its own files are not taken: they outlive the task
    options = [option for name, option in _OPTIONS.items() if name in (*names, _ACCEPT, _DECLINE)]
    data = {"tool": tool, "tool_id": text_of(params.get("itemId"))[:200]}
    answer = await desk.ask("approval", text, options, data, raw)
    if answer.decision == "deny" and answer.text:
        await say(answer.text)  # before it is refused: then both reach the model together
    return _decision(answer)


def _decision(answer: Answer) -> str:
    match answer.decision:
        case "allow":
            return _ACCEPT
        case "answer":
            return answer.text
        case "cancel":
            return _CANCEL
        case _:
            return _DECLINE


async def _elicit(desk: Desk, params: Mapping[str, Any], raw: Any) -> dict[str, Any]:
    """A tool's server asks. What is only to be allowed can be; a form nobody can fill in here is declined."""
    fields = mapping_of(mapping_of(params.get("requestedSchema")).get("properties"))
    if fields or params.get("mode") == "url":
        return {"action": "decline", "content": None, "_meta": None}
    server = text_of(params.get("serverName"))
    options = [_OPTIONS[_ACCEPT], _OPTIONS[_DECLINE]]
    text = f"{server}: {text_of(params.get('message'))}"
    if meta := params.get("_meta"):
        text += "\n" + json.dumps(meta, ensure_ascii=False, indent=1)
    answer = await desk.ask("approval", text, options, {"tool": server[:200]}, raw)
    decision = _decision(answer)
    return {"action": decision, "content": {} if decision == _ACCEPT else None, "_meta": None}


async def _ask_questions(desk: Desk, params: Mapping[str, Any], raw: Any) -> dict[str, Any]:
    """One after the other; the agent is told all answers at once, and does without those that were not given."""
    answers: dict[str, Any] = {}
    questions = params.get("questions")
    for one in questions[:_MOST_QUESTIONS] if isinstance(questions, list) else ():
        question = mapping_of(one)
        given = question.get("options")
        labels = [text_of(mapping_of(option).get("label")) for option in given] if isinstance(given, list) else []
        text = "\n".join([text_of(question.get("question")), *(f"- {label}" for label in labels)])
        options = [Option(label, label, None) for label in labels]
        data = {"tool_id": text_of(params.get("itemId"))[:200]}
        free = question.get("isOther") is True
        answer = await desk.ask("question", text, options, data, raw, free=free)
        if answer.decision == "answer":
            answers[text_of(question.get("id"))] = {"answers": [answer.text]}
    return {"answers": answers}


def _told(what: str, params: Mapping[str, Any]) -> str:
    more = {name: value for name, value in params.items() if name not in _KNOWN}
    return f"{what}:\n{json.dumps(more, ensure_ascii=False, indent=1)}"

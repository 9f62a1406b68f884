"""What Claude Code asks (`can_use_tool`), as questions for a person, and what the answers are in its own words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lite.drivers.desk import Answer, Desk, Option
from providers.parsing import mapping_of, text_of

QUESTION_TOOL = "AskUserQuestion"
_MOST_QUESTIONS = 20
_MOST_GRANTS = 20
_ONCE, _SESSION, _NO = "once", "session", "no"
_REFUSED = "This was not allowed. Go on without it if you can; otherwise say what it was needed for."
_UNANSWERED = "Nobody answered. Decide by yourself, and say what you assumed."


async def settle(desk: Desk, request: Mapping[str, Any], raw: Any) -> dict[str, Any]:
    """The answer to one `can_use_tool` request."""
    given = mapping_of(request.get("input"))
    if request.get("tool_name") == QUESTION_TOOL and (questions := _questions(given)):
        return await _ask_questions(desk, request, questions, raw)
    grants = _grants(request.get("permission_suggestions"))
    options = [Option(_ONCE, "Allow", True), Option(_NO, "Deny", False)]
    if grants:
        options.insert(1, Option(_SESSION, f"Allow for this session: {_named(grants)}", True, lasting=True))
    answer = await desk.ask("approval", asked_text(request), options, _about(request), raw)
    if answer.decision == "allow" or (answer.decision == "answer" and answer.text in (_ONCE, _SESSION)):
        lasting = {"updatedPermissions": grants} if answer.text == _SESSION and answer.decision == "answer" else {}
        return {"behavior": "allow", "updatedInput": given, **lasting}
    said = "" if answer.decision == "answer" else answer.text
    return _denied(answer, said or _REFUSED)


def asked_text(request: Mapping[str, Any]) -> str:
    """All a person must know to allow a tool: its name, why it asks, what it is given."""
    name = text_of(request.get("display_name")) or text_of(request.get("tool_name")) or "a tool"
    told = text_of(request.get("title")) or text_of(request.get("description"))
    parts = [f"{name}: {told}" if told else name]
    for key, what in (("decision_reason", "why it asks"), ("blocked_path", "path")):
        if said := text_of(request.get(key)):
            parts.append(f"{what}: {said}")
    parts.append(json.dumps(request.get("input"), ensure_ascii=False, indent=1))
    return "\n".join(parts)


async def _ask_questions(
    desk: Desk, request: Mapping[str, Any], questions: list[dict[str, Any]], raw: Any
) -> dict[str, Any]:
    """One after the other: each is answered by itself, and the agent is told all answers at once."""
    answers: dict[str, str] = {}
    for question in questions:
        labels = _labels(question)
        options = [Option(label, label, None) for label in labels]
        answer = await desk.ask("question", question_text(question), options, _about(request), raw, free=True)
        if answer.decision != "answer":
            return _denied(answer, answer.text or _UNANSWERED)
        answers[text_of(question.get("question"))] = _picked(answer.text, labels)
    given = mapping_of(request.get("input"))
    return {"behavior": "allow", "updatedInput": {**given, "answers": answers}}


def question_text(question: Mapping[str, Any]) -> str:
    """The question and its numbered options."""
    parts = [text_of(question.get("question"))]
    for at, option in enumerate(_objects(question.get("options")), 1):
        line = f"{at}. {text_of(option.get('label'))}"
        for key in ("description", "preview"):
            if told := text_of(option.get(key)):
                line += f"\n   {told}"
        parts.append(line)
    if question.get("multiSelect") is True:
        parts.append("(several may be chosen, with commas between them)")
    return "\n".join(parts)


def _questions(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Empty when they are not as they should be: then it is a tool like any other."""
    found = _objects(given.get("questions"))
    whole = isinstance(given.get("questions"), list) and len(found) == len(given["questions"]) <= _MOST_QUESTIONS
    return found if whole and all(text_of(one.get("question")) for one in found) else []


def _labels(question: Mapping[str, Any]) -> list[str]:
    return [text_of(one.get("label")) for one in _objects(question.get("options"))]


def _picked(text: str, labels: list[str]) -> str:
    """A number alone stands for the option of that number."""
    word = text.strip()
    if word not in labels and word.isascii() and word.isdigit() and len(word) < 4 and 0 < int(word) <= len(labels):
        return labels[int(word) - 1]
    return word


def _denied(answer: Answer, message: str) -> dict[str, Any]:
    """Nothing more is done when the turn is being cancelled."""
    stop = {"interrupt": True} if answer.decision == "cancel" else {}
    return {"behavior": "deny", "message": message, **stop}


def _grants(suggestions: object) -> list[dict[str, Any]]:
    """What it offers to allow from now on, for this conversation only: nothing of it is written to a file."""
    found = [one for one in _objects(suggestions)[:_MOST_GRANTS] if text_of(one.get("type"))]
    return [{**one, "destination": "session"} for one in found]


def _named(grants: list[dict[str, Any]]) -> str:
    words: list[str] = []
    for one in grants:
        for rule in _objects(one.get("rules")):
            content = text_of(rule.get("ruleContent"))
            words.append(text_of(rule.get("toolName")) + (f"({content})" if content else ""))
        directories = one.get("directories")
        words += [text_of(path) for path in directories] if isinstance(directories, list) else []
        words += [mode] if (mode := text_of(one.get("mode"))) else []
    return ", ".join(word for word in words if word) or "what it suggests"


def _about(request: Mapping[str, Any]) -> dict[str, Any]:
    tool, ident = text_of(request.get("tool_name")), text_of(request.get("tool_use_id"))
    return {"tool": tool[:200], "tool_id": ident[:200]}


def _objects(entries: object) -> list[dict[str, Any]]:
    return [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []

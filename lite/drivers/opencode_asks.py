"""What opencode asks, as people read it and answer it; and the rules that make it ask."""

from __future__ import annotations

import json
from typing import Any

from lite.drivers.desk import Option
from providers.parsing import mapping_of, text_of

# looking at what is in the directory changes nothing; everything else is asked about
_HARMLESS = ("read", "glob", "grep", "list", "lsp", "todoread", "todowrite", "skill")


def rules(given: object) -> list[dict[str, str]]:
    """Rules for a conversation in which an agent with the rules `given` asks. By itself opencode allows everything that
    nobody has named: only that is asked about instead. What its configuration says, more or less strict, stays."""
    own = [
        {key: text_of(one.get(key)) for key in ("permission", "pattern", "action")}
        for one in (given if isinstance(given, list) else [])
        if isinstance(one, dict)
    ]
    if own[:1] != [{"permission": "*", "pattern": "*", "action": "allow"}]:
        return []
    harmless = [{"permission": name, "pattern": "*", "action": "allow"} for name in _HARMLESS]
    return [{"permission": "*", "pattern": "*", "action": "ask"}, *harmless, *own[1:]]


def approval_text(request: dict[str, Any], *, by_subagent: bool) -> str:
    """All a person must know to allow it: what, of which things, and what it would do to them."""
    details = dict(mapping_of(request.get("metadata")))
    shown = text_of(details.pop("command", "")) or "\n".join(_words(request.get("patterns")))
    text = f"{text_of(request.get('permission')) or 'something'}: {shown or 'without a word of what'}"
    difference = text_of(details.pop("diff", ""))
    if details:
        text += "\n" + json.dumps(details, ensure_ascii=False, indent=1, default=str)
    if difference:
        text += "\n" + difference
    return text + ("\n(asked by a subagent)" if by_subagent else "")


def approval_options(request: dict[str, Any]) -> list[Option]:
    lasting = ", ".join(_words(request.get("always")))
    options = [Option("once", "Allow once", True), Option("reject", "Reject", False)]
    if lasting:
        options.append(Option("always", f"Allow always: {lasting}", True, lasting=True))
    return options


def question_text(question: dict[str, Any]) -> str:
    header, text = text_of(question.get("header")), text_of(question.get("question"))
    lines = [f"{header}: {text}" if header and header != text else text]
    for option in _options(question):
        about = text_of(option.get("description"))
        lines.append(f"- {text_of(option.get('label'))}" + (f": {about}" if about else ""))
    if question.get("multiple") is True:
        lines.append("(several may be named, with commas between them)")
    return "\n".join(lines)


def question_options(question: dict[str, Any]) -> list[Option]:
    labels = [label for option in _options(question) if (label := text_of(option.get("label")))]
    return [Option(label, label, None) for label in labels]


def words_of(answer: str, question: dict[str, Any]) -> list[str]:
    """The labels that were named, or the words as they are."""
    labels = [text_of(option.get("label")) for option in _options(question)]
    named = [word.strip() for word in answer.split(",")]
    if question.get("multiple") is True and answer not in labels and all(word in labels for word in named):
        return named
    return [answer]


def _options(question: dict[str, Any]) -> list[dict[str, Any]]:
    given = question.get("options")
    return [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []


def _words(given: object) -> list[str]:
    return [one for one in given if isinstance(one, str)] if isinstance(given, list) else []

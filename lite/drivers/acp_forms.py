"""What an ACP agent wants to know of its user (`elicitation/create`): each field of its form is a question of its own.

Nothing is believed to have the shape the protocol promises. A text's pattern is shown, not tried: it is the agent's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from lite.drivers.desk import Desk, Option
from providers.parsing import count_of, mapping_of, text_of

_MOST_FIELDS = 20
_MOST_CHOICES = 100
_TOLD = 2_000  # characters of a title, a description, a choice
_LEAVE = "-"  # the answer that leaves a field out
_YES, _NO = ("yes", "true"), ("no", "false")
DECLINED: Mapping[str, Any] = {"action": "decline"}
_CANCELLED: Mapping[str, Any] = {"action": "cancel"}


class Misfit(Exception):
    """Not an answer to this field; in words."""


class _Field(NamedTuple):
    name: str
    schema: dict[str, Any]
    required: bool
    choices: tuple[Option, ...]  # of texts, numbers and lists those that are possible; () is anything


async def elicit(desk: Desk, said: dict[str, Any]) -> Mapping[str, Any]:
    """The answer to the request `said`: declined where policy or person will not answer, and what cannot be asked."""
    message = text_of(said.get("message"))[: 8 * _TOLD] or "the agent wants to know something"
    data = {"tool_id": text_of(said.get("toolCallId"))[:200]}
    match said.get("mode"):
        case "url":
            return await _visit(desk, said, message, data)
        case "form" | None:
            return await _form(desk, said, message, data)
    return DECLINED


async def _visit(desk: Desk, said: dict[str, Any], message: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """A person opens the address, wherever that is possible, and says so."""
    url = text_of(said.get("url"))
    if not url.startswith(("https://", "http://")):
        return DECLINED
    text = f"{message}\n{url[: 2 * _TOLD]}\nopen it, and answer: done"
    answer = await desk.ask("question", text, (Option("done", "done", None),), {**data, "url": url[:_TOLD]}, said)
    if answer.decision == "answer":
        return {"action": "accept"}
    return _CANCELLED if answer.decision == "cancel" else DECLINED


async def _form(desk: Desk, said: dict[str, Any], message: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
    schema = mapping_of(said.get("requestedSchema"))
    fields = _fields(schema)
    if fields is None:
        return DECLINED
    if not fields:
        options = (Option("accept", "yes", True), Option("decline", "no", False))
        answer = await desk.ask("approval", message, options, data, said)
        if answer.decision == "allow" or answer == ("answer", "accept"):
            return {"action": "accept", "content": {}}
        return _CANCELLED if answer.decision == "cancel" else DECLINED
    content: dict[str, Any] = {}
    for number, field in enumerate(fields, 1):
        about = {**data, "field": field.name[:200], "number": number, "of": len(fields)}
        wrong = ""
        while field.name not in content:
            text = _asked(field, message, f"{number} of {len(fields)}" if len(fields) > 1 else "", wrong)
            free = field.schema.get("type") == "array" or not field.required
            answer = await desk.ask("question", text, field.choices, about, said, free=free)
            if answer.decision != "answer":
                return _CANCELLED if answer.decision == "cancel" else DECLINED
            if answer.text.strip() == _LEAVE and not field.required:
                break
            try:
                content[field.name] = _value(field, answer.text)
            except Misfit as misfit:
                wrong = str(misfit)
    return {"action": "accept", "content": content}


def _fields(schema: Mapping[str, Any]) -> list[_Field] | None:
    """Those that can be asked for; None when one that must be given cannot, or when there are too many."""
    properties = mapping_of(schema.get("properties"))
    must = schema.get("required")
    required = {name for name in must if isinstance(name, str)} if isinstance(must, list) else set()
    if len(properties) > _MOST_FIELDS or not required <= properties.keys():
        return None
    found = []
    for name, given in properties.items():
        field = _field(name, mapping_of(given), name in required)
        if field is not None:
            found.append(field)
        elif name in required:
            return None
    return found


def _field(name: str, schema: dict[str, Any], required: bool) -> _Field | None:
    match schema.get("type"):
        case "boolean":
            return _Field(name, schema, required, (Option("true", "yes", None), Option("false", "no", None)))
        case "integer" | "number":
            return _Field(name, schema, required, ())
        case "string":
            choices = _choices(schema, "oneOf")
        case "array":
            choices = _choices(mapping_of(schema.get("items")), "anyOf")
            if not choices:
                return None
        case _:
            return None
    return None if choices is None else _Field(name, schema, required, choices)


def _choices(schema: Mapping[str, Any], titled: str) -> tuple[Option, ...] | None:
    """None: there are some, which nobody can choose from."""
    given = schema.get("enum"), schema.get(titled)
    if given == (None, None):
        return ()
    plain = [Option(one, one, None) for one in given[0] if isinstance(one, str)] if isinstance(given[0], list) else []
    entries = [mapping_of(one) for one in given[1]] if isinstance(given[1], list) else []
    named = [
        Option(one["const"], text_of(one.get("title")) or one["const"], None)
        for one in entries
        if isinstance(one.get("const"), str)
    ]
    found = tuple(plain or named)
    return found if 0 < len(found) <= _MOST_CHOICES else None


def _asked(field: _Field, message: str, which: str, wrong: str) -> str:
    """Everything a person must know to answer."""
    schema = field.schema
    title = text_of(schema.get("title"))[:_TOLD] or field.name[:_TOLD]
    lines = [message, f"{title} ({which})" if which else title, text_of(schema.get("description"))[:_TOLD]]
    lines.append(_kind(field))
    if not field.required:
        lines.append(f"{_LEAVE} leaves it out")
    if "default" in schema:
        lines.append(f"usual: {json.dumps(schema['default'], ensure_ascii=False)[:_TOLD]}")
    lines.append(f"not that: {wrong}" if wrong else "")
    return "\n".join(line for line in lines if line)


def _kind(field: _Field) -> str:
    schema = field.schema
    bounds = ", ".join(
        f"{word} {json.dumps(schema[key], default=str)[:100]}"
        for key, word in _BOUNDS.items()
        if isinstance(schema.get(key), int | float | str) and not isinstance(schema.get(key), bool)
    )
    match schema.get("type"):
        case "boolean":
            kind = "yes or no"
        case "integer":
            kind = "a whole number"
        case "number":
            kind = "a number"
        case "array":
            kind = "some of these, with commas between them: " + _named(field.choices)
        case _:
            kind = "one of: " + _named(field.choices) if field.choices else "text"
    return f"{kind} ({bounds})" if bounds else kind


_BOUNDS = {
    "minimum": "at least",
    "maximum": "at most",
    "minLength": "characters at least",
    "maxLength": "characters at most",
    "minItems": "at least",
    "maxItems": "at most",
    "format": "format",
    "pattern": "pattern",
}


def _named(choices: tuple[Option, ...]) -> str:
    return ", ".join(one.name[:_TOLD] for one in choices)


def _value(field: _Field, text: str) -> Any:
    """What the answer means. Raises `Misfit`."""
    match field.schema.get("type"):
        case "boolean":
            word = text.strip().lower()
            if word not in (*_YES, *_NO):
                raise Misfit("yes or no")
            return word in _YES
        case "integer" | "number":
            return _number(field.schema, text.strip())
        case "array":
            return _several(field, text)
    if field.choices:
        return _chosen(field.choices, text)
    low, high = count_of(field.schema.get("minLength")), count_of(field.schema.get("maxLength"))
    if (low is not None and len(text) < low) or (high is not None and len(text) > high):
        raise Misfit(f"it has {len(text)} characters")
    return text


def _number(schema: Mapping[str, Any], text: str) -> int | float:
    try:
        found: int | float = int(text) if schema.get("type") == "integer" else float(text)
    except ValueError:
        raise Misfit(f"{text[:100]!r} is no number" + (" without a fraction" if _is_float(text) else "")) from None
    low, high = _bound(schema.get("minimum")), _bound(schema.get("maximum"))
    if not math.isfinite(found) or (low is not None and found < low) or (high is not None and found > high):
        raise Misfit(f"{text[:100]} is out of bounds")
    return found


def _bound(value: object) -> int | float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _several(field: _Field, text: str) -> list[str]:
    found = [_chosen(field.choices, part.strip()) for part in text.split(",") if part.strip()]
    found = list(dict.fromkeys(found))
    low, high = count_of(field.schema.get("minItems")), count_of(field.schema.get("maxItems"))
    if (low is not None and len(found) < low) or (high is not None and len(found) > high):
        raise Misfit(f"these are {len(found)}")
    return found


def _chosen(choices: tuple[Option, ...], text: str) -> str:
    for one in choices:
        if text in (one.id, one.name):
            return one.id
    raise Misfit(f"{text[:100]!r} is none of them")

"""A document against a schema: pydantic's findings in our words, each at its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from lite.config.yamlmarks import Document
from lite.errors import QuarterdeckError
from lite.rules.problems import Problems
from lite.rules.spelling import did_you_mean, listing, nearest, quoted

Model = TypeVar("Model", bound=BaseModel)

_TOLD = 100  # findings looked at
_SHOULD = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
    "list_type": "a list",
    "tuple_type": "a list",
}
_BOUNDS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}


def validate(model: type[Model], document: Document, refusal: type[QuarterdeckError], what: str) -> Model:
    """Raises `refusal` telling everything that is wrong; `what` names the file's kind ("plan")."""
    if not isinstance(document.value, dict):
        found = "is empty" if document.value is None else "should be a mapping (key: value)"
        raise refusal(f"the {what} {found}", place=document.place())
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        problems = Problems()
        errors = error.errors(include_url=False)
        problems.more = max(0, len(errors) - _TOLD)
        for one in _worth_telling(errors[:_TOLD], model):
            _tell(problems, model, document, one)
        problems.refuse(refusal)
        raise  # every validation error has at least one finding


def _worth_telling(found: Sequence[Any], model: type[BaseModel]) -> list[Any]:
    """Without the keys that are missing only because they are misspelt."""
    meant = set()
    for one in found:
        if one["type"] == "extra_forbidden":
            *parent, key = one["loc"]
            meant.add((*parent, nearest(str(key), _known_keys(model, tuple(parent)))))
    return [one for one in found if one["type"] != "missing" or one["loc"] not in meant]


def _tell(problems: Problems, model: type[BaseModel], document: Document, error: Mapping[str, Any]) -> None:
    path = tuple(part for part in error["loc"] if part != "[key]")
    place = document.place(*path)
    kind: str = error["type"]
    context: Mapping[str, Any] = error.get("ctx", {})
    name = dotted(path)
    if kind == "extra_forbidden":
        known = _known_keys(model, path[:-1])
        inside = f" in {dotted(path[:-1])}" if len(path) > 1 else ""
        message = f"unknown key {quoted(str(path[-1]))}{inside}{did_you_mean(str(path[-1]), known)}"
        problems.add(place, message, f"known keys: {listing(known, 40)}")
    elif kind == "missing":
        problems.add(place, f"{name} is missing")
    elif kind in _SHOULD:
        problems.add(place, f"{name} should be {_SHOULD[kind]}{_not(error.get('input'))}")
    elif kind in _BOUNDS:
        word, key = _BOUNDS[kind]
        problems.add(place, f"{name} must be {word} {context[key]}, not {str(error['input'])[:20]}")
    elif kind == "literal_error":
        choices = _choices(model, path)
        value = str(error["input"])
        problems.add(
            place, f"{name} cannot be {quoted(value)}{did_you_mean(value, choices)}", f"one of: {', '.join(choices)}"
        )
    elif kind == "value_error":
        message, _, hint = str(context["error"]).partition("; ")
        problems.add(place, f"{name} {message}", hint)
    else:
        problems.add(place, f"{name}: {error['msg'][:1].lower()}{error['msg'][1:]}")


def dotted(path: tuple[str | int, ...]) -> str:
    """`tasks.api.needs[0]`"""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text if text.isprintable() else quoted(text)


def _not(value: object) -> str:
    if value is None:
        return ", and is empty"
    if isinstance(value, dict):
        return ", not a mapping"
    if isinstance(value, list | tuple):
        return ", not a list"
    return f", not {quoted(value) if isinstance(value, str) else quoted(str(value))}"


def _known_keys(model: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    inner = _at(model, path)
    return list(inner.model_fields) if isinstance(inner, type) and issubclass(inner, BaseModel) else []


def _choices(model: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    found = _at(model, path)
    return [str(one) for one in get_args(found) if one]


def _at(annotation: Any, path: tuple[str | int, ...]) -> Any:
    """The type a path of a document leads to; optional ones bare."""
    for part in path:
        annotation = _bare(annotation)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            field = annotation.model_fields.get(str(part))
            annotation = field.annotation if field is not None else None
        else:
            arguments = get_args(annotation)
            annotation = arguments[1] if get_origin(annotation) is dict else arguments[0] if arguments else None
    return _bare(annotation)


def _bare(annotation: Any) -> Any:
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    options = [one for one in get_args(annotation) if one is not type(None)]
    if len(options) == 1 and len(get_args(annotation)) == 2 and get_origin(annotation) is not tuple:
        return _bare(options[0])
    return annotation

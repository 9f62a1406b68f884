"""The building blocks of both files' schemas."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema, model_validator

from lite.config.sizes import parse_size
from lite.rules.checks import MAX_TIME_MS
from providers.durations import parse_duration


class Strict(BaseModel):
    """Unknown keys are refused; a key left empty (`needs:` alone on its line) means its default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: inner for key, inner in value.items() if inner is not None}


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def none_is_empty(value: Any) -> Any:
    return "" if value is None else value


def _values(value: Any) -> Any:
    """`X:` in an environment means the empty text."""
    return {key: none_is_empty(inner) for key, inner in value.items()} if isinstance(value, dict) else value


_DURATION = {"type": ["string", "number"], "examples": ["90s", "30m", "1h30m", 90]}
_SIZE = {"type": ["string", "integer"], "examples": ["64MB", "1GB"]}
_TEXTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}

Duration = Annotated[int, BeforeValidator(parse_duration), WithJsonSchema(_DURATION)]  # ms
Size = Annotated[int, BeforeValidator(parse_size), WithJsonSchema(_SIZE)]  # bytes
Texts = Annotated[tuple[str, ...], BeforeValidator(_one_or_many), WithJsonSchema(_TEXTS)]
Labels = Annotated[dict[str, str], BeforeValidator(_values)]


def _lifted(value: Any) -> Any:
    if isinstance(value, str) and value.strip().lower() == "none":
        return None
    ms = parse_duration(value)
    if not 0 < ms <= MAX_TIME_MS:
        raise ValueError("must be more than 0 and at most a year; write none for no limit")
    return ms


def _lifted_count(value: Any) -> Any:
    if isinstance(value, str) and value.strip().lower() == "none":
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= 1_000_000:
        raise ValueError("must be a whole number from 1 to 1000000, or none")
    return value


Lifted = Annotated[int | None, BeforeValidator(_lifted), WithJsonSchema(_DURATION)]  # ms; None: lifted
LiftedCount = Annotated[int | None, BeforeValidator(_lifted_count), WithJsonSchema({"type": ["integer", "string"]})]

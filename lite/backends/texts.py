"""Specs and workers as JSON text, and the JSON both stores write. Specs leave out the fields that say nothing."""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, fields
from operator import attrgetter
from typing import Any

from lite.model.task import TaskSpec
from lite.model.worker import Worker
from providers.base import HttpCall

decode = json.loads
_encoder = json.JSONEncoder(separators=(",", ":"), default=dict)
# What JSONEncoder.encode builds anew at every call; kept, small objects are written twice as fast.
_make = getattr(json.encoder, "c_make_encoder", None)
_pieces = _make and _make(None, dict, json.encoder.encode_basestring_ascii, None, ":", ",", False, False, True)

_TUPLES = tuple(field.name for field in fields(TaskSpec) if str(field.type).startswith("tuple"))
_NAMES = tuple(field.name for field in fields(TaskSpec))
_DEFAULTS = tuple(
    field.default if field.default is not MISSING else {} if field.default_factory is not MISSING else None
    for field in fields(TaskSpec)
)
_values = attrgetter(*_NAMES)


def encode(value: Any) -> str:
    """Compact JSON; mappings of any kind become objects."""
    return "".join(_pieces(value, 0)) if _pieces else _encoder.encode(value)


def spec_to_text(spec: TaskSpec) -> str:
    said: dict[str, Any] = {
        name: value
        for name, value, default in zip(_NAMES, _values(spec), _DEFAULTS, strict=True)
        if value is not default and value != default
    }
    if spec.http is not None:
        said["http"] = asdict(spec.http)
    return encode(said)


def spec_from_text(text: str) -> TaskSpec:
    said = decode(text)
    for name in _TUPLES:
        if name in said:
            said[name] = tuple(said[name])
    if "http" in said:
        said["http"] = HttpCall(**said["http"])
    return TaskSpec(**said)


def worker_to_text(worker: Worker) -> str:
    return encode({name: value for name, value in asdict(worker).items() if name != "running"})


def worker_from_text(text: str) -> Worker:
    said = decode(text)
    return Worker(**{**said, "agents": tuple(said["agents"]), "executors": tuple(said.get("executors", ("local",)))})

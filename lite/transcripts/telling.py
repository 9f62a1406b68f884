"""What of a tool's input tells most: the command, the address, the file. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

_ACTS = ("command", "cmd", "script", "url", "pattern", "query")
_FILES = ("file_path", "filePath", "absolute_path", "notebook_path", "path", "paths", "filename", "file", "directory")
_TELLING = (*_ACTS, *_FILES, "description", "question", "prompt", "title", "name", "label")
_INPUTS = ("input", "arguments", "args", "parameters", "rawInput", "raw_input")
_SHELLS = ("-c", "-lc", "-ec")
_MOST = 4096  # characters of what is told


def tool_name(text: str, data: Mapping[str, Any]) -> str:
    for found in (data.get("name"), data.get("tool_name"), data.get("tool"), text):
        if isinstance(found, str) and found:
            return found
    return "a tool"


def telling(data: Mapping[str, Any]) -> str:
    """Of the data of a tool use or a request for permission; "" when there is nothing."""
    given = next((data[key] for key in _INPUTS if data.get(key)), None)
    return _of(given if given is not None else {key: data[key] for key in (*_ACTS, *_FILES) if key in data})


def _of(given: Any) -> str:
    if isinstance(given, str):
        try:  # arguments come as JSON in a string, too
            inner = json.loads(given) if given[:1] == "{" and len(given) <= 16 * _MOST else None
        except ValueError:
            inner = None
        return _of(inner) if isinstance(inner, dict) else given[:_MOST]
    if isinstance(given, Mapping):
        for key in _TELLING:
            if key in given and (found := _words(given[key])):
                return found
        if len(given) == 1 and (found := _words(next(iter(given.values())))):
            return found
    return json.dumps(given, ensure_ascii=False, default=str)[:_MOST] if given else ""


def _words(value: Any) -> str:
    if isinstance(value, str):
        return value[:_MOST]
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        if len(value) == 3 and value[1] in _SHELLS:
            return str(value[2])[:_MOST]
        return shlex.join(value[:100])[:_MOST]
    return ""

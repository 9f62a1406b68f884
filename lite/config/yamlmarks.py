"""YAML to plain values, remembering where each was written.

A small reader over PyYAML's event stream instead of its loaders: duplicate keys are refused, aliases are counted as
if expanded, depth is bounded, and `yes`, `on` or `12:30` stay text. `typed` tells at which paths a plain scalar may
become a number or a boolean; everywhere else it is the text as written, so that `env: {PORT: 8080}` needs no quotes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from lite.errors import QuarterdeckError
from lite.rules.spelling import quoted

Path = tuple[str | int, ...]

MAX_BYTES = 1 << 20
MAX_NODES = 100_000  # with aliases expanded
MAX_DEPTH = 40
MAX_KEY = 256  # characters

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_NULL = re.compile(r"(?:~|null|Null|NULL)?\Z")
_INT = re.compile(r"[-+]?[0-9]{1,18}\Z|0x[0-9a-fA-F]{1,15}\Z|0o[0-7]{1,20}\Z")
_FLOAT = re.compile(r"(?=.*[.eE])[-+]?(?:\.[0-9]{1,40}|[0-9]{1,40}(?:\.[0-9]{0,40})?)(?:[eE][-+]?[0-9]{1,3})?\Z")
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq")}
_STR = "tag:yaml.org,2002:str"


@dataclass(frozen=True, slots=True)
class Document:
    """`value` holds dicts with text keys, lists and scalars; `places` maps a path to `source:line:column`."""

    value: Any
    places: Mapping[Path, str]
    source: str

    def place(self, *path: str | int) -> str:
        """Where `path` was written: its key or item, else that of the nearest thing around it."""
        for end in range(len(path), -1, -1):
            found = self.places.get(path[:end])
            if found:
                return found
        return self.source


def read_document(
    text: str, source: str, refusal: type[QuarterdeckError], typed: Callable[[Path], bool] = lambda path: True
) -> Document:
    """Raises `refusal` with the place for anything that is not one sound YAML document."""
    _check_text(text, source, refusal)
    reader = _Reader(text, source, refusal, typed)
    try:
        value = reader.document()
    except yaml.MarkedYAMLError as error:
        raise _broken(error, text, source, refusal) from None
    except yaml.YAMLError as error:
        raise refusal(f"this is not YAML: {_one_line(str(error))}", place=source) from None
    return Document(value, reader.places, source)


def _check_text(text: str, source: str, refusal: type[QuarterdeckError]) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise refusal("this is not UTF-8 text", place=_locate(text, error.start, source)) from None
    if size > MAX_BYTES:
        raise refusal(f"this is larger than 1 MiB ({size / MAX_BYTES:.1f} MiB)", place=source)
    found = _UNPRINTABLE.search(text)
    if found is not None:
        what = "this is a binary file" if found[0] == "\0" else f"the control character U+{ord(found[0]):04X}"
        raise refusal(
            f"{what}, not YAML" if found[0] == "\0" else f"{what} cannot stand here",
            place=_locate(text, found.start(), source),
        )


def _locate(text: str, index: int, source: str) -> str:
    line = text.count("\n", 0, index)
    return f"{source}:{line + 1}:{index - (text.rfind(chr(10), 0, index) + 1) + 1}"


def _broken(error: yaml.MarkedYAMLError, text: str, source: str, refusal: type[QuarterdeckError]) -> QuarterdeckError:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return refusal(f"this is not YAML: {_one_line(error.problem or '')}", place=source)
    place = f"{source}:{mark.line + 1}:{mark.column + 1}"
    lines = text.split("\n")
    line = lines[mark.line] if mark.line < len(lines) else ""
    if "\t" in line[: mark.column + 1] or line[:1] == "\t":
        return refusal("a tab where YAML wants spaces", hint="indent with spaces", place=place)
    context = f" {_one_line(error.context)}" if error.context else ""
    return refusal(f"broken YAML: {_one_line(error.problem or '')}{context}", place=place)


def _one_line(text: str) -> str:
    return " ".join(text.split())


class _Reader:
    def __init__(self, text: str, source: str, refusal: type[QuarterdeckError], typed: Callable[[Path], bool]) -> None:
        self.places: dict[Path, str] = {}
        self._events = _Loader(text)
        self._source = source
        self._refusal = refusal
        self._typed = typed
        self._anchors: dict[str, tuple[Any, int]] = {}  # the value and how many nodes it expands to
        self._nodes = 0

    def document(self) -> Any:
        try:
            self._next()  # the stream begins
            if isinstance(self._events.peek_event(), yaml.StreamEndEvent):
                return None
            self._next()
            value = self._node((), 0, "")
            self._next()
            if not isinstance(self._events.peek_event(), yaml.StreamEndEvent):
                self._refuse(self._events.peek_event(), "a second document begins here", "one file holds one document")
            return value
        finally:
            self._events.dispose()

    def _next(self) -> Any:
        return self._events.get_event()

    def _place(self, event: Any) -> str:
        return f"{self._source}:{event.start_mark.line + 1}:{event.start_mark.column + 1}"

    def _refuse(self, event: Any, message: str, hint: str = "") -> None:
        raise self._refusal(message, hint=hint, place=self._place(event))

    def _node(self, path: Path, depth: int, place: str) -> Any:
        event = self._next()
        self.places[path] = place or self._place(event)
        self._count(event, 1)
        if depth > MAX_DEPTH:
            self._refuse(event, f"nested more than {MAX_DEPTH} deep")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if event.tag not in (None, "!") and event.tag not in _TAGS:
            self._refuse(event, f"the tag {quoted(event.tag)} is not allowed")
        before = self._nodes
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, path)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = []
            while not isinstance(self._events.peek_event(), yaml.SequenceEndEvent):
                value.append(self._node((*path, len(value)), depth + 1, ""))
            self._next()
        else:
            value = self._mapping(path, depth)
        if event.anchor:
            self._anchors[event.anchor] = (value, self._nodes - before + 1)
        return value

    def _count(self, event: Any, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            self._refuse(event, f"more than {MAX_NODES} values, aliases expanded")

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            self._refuse(event, f"the alias *{event.anchor} has no anchor before it")
        value, nodes = self._anchors[event.anchor]
        self._count(event, nodes)
        return value

    def _mapping(self, path: Path, depth: int) -> dict[str, Any]:
        value: dict[str, Any] = {}
        own: set[str] = set()
        while not isinstance(self._events.peek_event(), yaml.MappingEndEvent):
            event = self._next()
            if not isinstance(event, yaml.ScalarEvent):
                self._refuse(event, "a key must be plain text")
            key = self._text(event)
            if len(key) > MAX_KEY:
                self._refuse(event, f"a key longer than {MAX_KEY} characters")
            if key == "<<" and event.implicit[0]:
                self._merge(value, own, path, depth, event)
                continue
            if key in own:
                self._refuse(event, f"{quoted(key)} is here twice", f"the first is at {self.places[*path, key]}")
            own.add(key)
            value.pop(key, None)  # merged: what is written here wins, and keeps the order of the file
            value[key] = self._node((*path, key), depth + 1, self._place(event))
        self._next()
        return value

    def _merge(self, value: dict[str, Any], own: set[str], path: Path, depth: int, event: Any) -> None:
        place = self._place(event)
        merged = self._node((*path, "<<"), depth + 1, place)
        for one in merged if isinstance(merged, list) else [merged]:
            if not isinstance(one, dict):
                self._refuse(event, "<< merges mappings only")
            for key, inner in one.items():
                if key not in value:
                    value[key] = inner
                    self.places[*path, key] = place

    def _text(self, event: Any) -> str:
        text: str = event.value
        if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
            self._refuse(event, "a NUL or half a character, which no text may hold")
        return text

    def _scalar(self, event: Any, path: Path) -> Any:
        text = self._text(event)
        if not event.implicit[0] or event.tag == _STR:
            return text
        if _NULL.match(text):
            return None
        if not self._typed(path):
            return text
        if text in _BOOLS:
            return _BOOLS[text]
        if _INT.match(text):
            return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
        if _FLOAT.match(text) and math.isfinite(float(text)):
            return float(text)
        return text

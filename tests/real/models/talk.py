"""What an agent program asks of a model and what it is told, in words common to all wire formats."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

TOKENS_IN = 1000  # every answer reports these, so that sums can be asserted
TOKENS_OUT = 50


@dataclass(frozen=True, slots=True)
class Asked:
    """One call to the model."""

    wire: str
    model: str
    said: tuple[str, ...]  # everything the user's side said, in order
    results: tuple[str, ...]  # of the tools used since the last prompt
    tools: Mapping[str, Any]  # name -> its description as sent
    stream: bool = True


@dataclass(frozen=True, slots=True)
class Call:
    """A tool to be used. `freeform`: its input as text, for tools that take no JSON."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    freeform: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer: `pieces` of text (`pace` seconds apart) and then a call, or an error of `status`.

    `cut`: the connection breaks after so many pieces.
    """

    pieces: Iterable[str] = ()
    call: Call | None = None
    pace: float = 0
    cut: int | None = None
    status: int = 200
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class Answer(Protocol):
    """Writes one answer as a stream. Each method returns the bytes to send."""

    def begin(self) -> bytes: ...

    def text(self, piece: str) -> bytes: ...

    def call(self, call: Call) -> bytes: ...

    def end(self) -> bytes: ...


class Wire(Protocol):
    """One wire format."""

    name: str

    def takes(self, path: str) -> bool:
        """Whether a POST to this path asks the model."""
        ...

    def read(self, path: str, body: dict[str, Any]) -> Asked: ...

    def answer(self, asked: Asked) -> Answer: ...

    def whole(self, asked: Asked, text: str, call: Call | None) -> dict[str, Any]:
        """The answer to a call that wants no stream."""
        ...

    def error(self, status: int, message: str) -> dict[str, Any]: ...


def event(data: Mapping[str, Any] | str, name: str = "") -> bytes:
    """One server-sent event."""
    head = f"event: {name}\n" if name else ""
    text = data if isinstance(data, str) else json.dumps(data)
    return f"{head}data: {text}\n\n".encode()


def text_in(content: Any) -> str:
    """The text of a message's content: a string, or a list of parts of which those with text count."""
    if isinstance(content, list):
        return "\n".join(found for part in content if (found := text_in(part)))
    if isinstance(content, dict):
        inner = content.get("text", content.get("content", content.get("output", "")))
        return text_in(inner)
    return content if isinstance(content, str) else ""

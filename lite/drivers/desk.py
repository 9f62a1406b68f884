"""Where an agent's requests wait for an answer: by the policy at once, or by a person's line on stdin.

A person answers exactly what was asked: the line names the request and the hash of its text.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from lite.drivers.lines import Lines, shortened
from providers.base import EventKind
from providers.parsing import LineSplitter, Oversized, read_json, text_of

_MOST = 100  # waiting at a time; an agent that asks for more is denied
_LONGEST_LINE = 256 << 10
_SHOWN = 32 << 10  # characters of a text asked
Asked = Literal["approval", "question"]


class Option(NamedTuple):
    """One way to settle a request. `allows`: None is neither yes nor no; `lasting`: it settles later ones too."""

    id: str
    name: str
    allows: bool | None
    lasting: bool = False


class Answer(NamedTuple):
    """`decision`: allow, deny, answer (with `text`; the id of an option where there are options) or cancel."""

    decision: str
    text: str = ""


@dataclass(slots=True)
class _Pending:
    hash: str
    kind: Asked
    options: Sequence[Option]
    free: bool
    answered: asyncio.Future[Answer]


class Desk:
    """`permissions` and `wait_ms` as in `Spec`."""

    def __init__(self, lines: Lines, permissions: str, wait_ms: int | None) -> None:
        self._lines = lines
        self._permissions = permissions
        self._wait = None if wait_ms is None or permissions != "wait" else wait_ms / 1000
        self._pending: dict[str, _Pending] = {}
        self._stdin = LineSplitter(_LONGEST_LINE)
        self._closed = False

    async def ask(
        self,
        kind: Asked,
        text: str,
        options: Sequence[Option] = (),
        data: Mapping[str, Any] | None = None,
        raw: Any = None,
        *,
        free: bool = False,
    ) -> Answer:
        """The answer; `cancel` once the turn is being cancelled. Prints the request and how it was settled, also when
        whoever asks is cancelled: the agent has taken it back. `free`: other words than an option's are taken too."""
        ident = secrets.token_hex(6)
        more = dict(data or {})
        by_policy = self._by_policy(kind)
        if by_policy is not None:
            self._settled(ident, by_policy, "policy", more)
            return by_policy
        digest = text_hash(text)
        pending = _Pending(digest, kind, options, free, asyncio.get_running_loop().create_future())
        shown = [{**one._asdict(), "id": one.id[:200], "name": one.name[:200]} for one in options[:20]]
        said = {"id": ident, "kind": kind, "hash": digest, "options": shown, **more}
        if self._wait is not None:
            said["wait_ms"] = round(self._wait * 1000)
        self._pending[ident] = pending
        self._lines.say(EventKind.NEEDS_USER, shortened(text, _SHOWN), said, raw)
        by = "person"
        try:
            async with asyncio.timeout(self._wait):
                answer = await pending.answered
        except TimeoutError:
            answer, by = Answer("deny"), "policy"
        except asyncio.CancelledError:
            self._settled(ident, Answer("cancel"), "agent", more)
            raise
        finally:
            del self._pending[ident]
        self._settled(ident, answer, "policy" if answer.decision == "cancel" else by, more)
        return answer

    def feed(self, data: bytes) -> None:
        """What came on stdin."""
        for line in self._stdin.feed(data):
            if isinstance(line, Oversized):
                self._refuse("", f"a line of {line.size} bytes")
            elif line.strip():
                self._take(line)

    def close(self) -> None:
        """Nothing is asked any more: what is pending is cancelled."""
        self._closed = True
        for pending in self._pending.values():
            if not pending.answered.done():
                pending.answered.set_result(Answer("cancel"))

    def _by_policy(self, kind: Asked) -> Answer | None:
        if self._closed:
            return Answer("cancel")
        if self._permissions == "deny" or len(self._pending) >= _MOST:
            return Answer("deny")
        if self._permissions == "allow":
            return Answer("allow" if kind == "approval" else "deny")  # nobody is there to answer a question
        return None

    def _take(self, line: bytes) -> None:
        said = read_json(line)
        if said is None:
            self._refuse("", "not a JSON object")
            return
        ident = text_of(said.get("answer"))
        pending = self._pending.get(ident)
        if pending is None or pending.answered.done():
            self._refuse(ident, "not pending")
        elif said.get("hash") != pending.hash:
            self._refuse(ident, "another text was asked")
        else:
            answer = _understood(said, pending)
            if answer is None:
                self._refuse(ident, "no such answer")
            else:
                pending.answered.set_result(answer)

    def _refuse(self, ident: str, why: str) -> None:
        self._lines.say(EventKind.UNKNOWN, "", {"refused": ident[:100], "why": why})

    def _settled(self, ident: str, answer: Answer, by: str, data: Mapping[str, Any]) -> None:
        said = {**data, "answered": ident, "decision": answer.decision, "by": by}
        if answer.decision == "answer":
            said["answer"] = answer.text[:1000]
        self._lines.say(EventKind.UNKNOWN, "", said)


def text_hash(text: str) -> str:
    """Of the whole text, also where less of it is shown."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def _understood(said: Mapping[str, Any], pending: _Pending) -> Answer | None:
    decision, text = said.get("decision"), text_of(said.get("text"))
    if decision == "deny":
        return Answer("deny", text)
    if decision == "allow" and pending.kind == "approval":
        possible = not pending.options or any(one.allows for one in pending.options)
        return Answer("allow", text) if possible else None
    if decision == "answer" and text:
        if not pending.options:
            return Answer("answer", text) if pending.kind == "question" else None
        for one in pending.options:
            if text in (one.id, one.name):
                return Answer("answer", one.id)
        return Answer("answer", text) if pending.free else None
    return None

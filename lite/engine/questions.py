"""What a structured session asks: questions with a name and a hash, each settled by an answer to exactly it. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lite.model.task import Waiting
from providers.base import AgentEvent, EventKind

Decision = Literal["allow", "deny", "answer"]

MAX_TEXT = 16 * 1024  # characters of a question kept in the row
MAX_ANSWER = 64 * 1024  # characters
_MAX_REF = 200
_MAX_OPEN = 100
_KINDS: Mapping[object, Literal["question", "approval", "input"]] = {
    "permission": "approval",
    "approval": "approval",
    "input": "input",
}
_OFFERS = {"allow": "approve", "deny": "deny", "answer": "answer"}


@dataclass(frozen=True, slots=True)
class Answer:
    """To the question `id`. `hash` (where the asker knows it) must be that of the question's text."""

    id: str
    decision: Decision
    text: str = ""
    hash: str = ""


class Questions:
    """Those of one session that are open, in the order they were asked. A person sees the first."""

    def __init__(self, session: str) -> None:
        self._session = session
        self._open: dict[str, Waiting] = {}
        self.told: set[str] = set()  # answered, not settled yet
        self.refused: dict[str, str] = {}  # answers the program would not have, with its words

    def __repr__(self) -> str:
        return f"<Questions {self._session} {list(self._open)}>"

    @property
    def current(self) -> Waiting | None:
        return next(iter(self._open.values()), None)

    def is_open(self, ref: str) -> bool:
        return ref in self._open

    def take(self, event: AgentEvent) -> bool:
        """True when what is open may have changed."""
        data = event.data
        if event.kind is EventKind.NEEDS_USER:
            waiting = waiting_of(self._session, event)
            if waiting is None or len(self._open) >= _MAX_OPEN:
                return False
            self._open[waiting.ref] = waiting
            self.told.discard(waiting.ref)
            return True
        if event.kind is EventKind.RESULT and self._open:
            self._open.clear()
            return True
        if isinstance(settled := data.get("answered"), str) and settled in self._open:
            del self._open[settled]
            return True
        if isinstance(not_so := data.get("refused"), str) and not_so in self._open:
            self.told.discard(not_so)
            why = data.get("why")
            self.refused[not_so] = event.text or (why if isinstance(why, str) and why else "the agent did not take it")
            return True
        return False


def waiting_of(session: str, event: AgentEvent) -> Waiting | None:
    """The question in a `needs_user` event, None when it has no name by which it could be answered. Its id says which
    text of which question of which session: no other can be meant by it."""
    ref = event.data.get("id")
    if not isinstance(ref, str) or not 0 < len(ref) <= _MAX_REF:
        return None
    given: Any = event.data.get("hash")
    digest = given if isinstance(given, str) and 0 < len(given) <= _MAX_REF else text_hash(event.text)
    short = text_hash(f"{session}\0{ref}\0{digest}\0{event.text}")[:8]
    kind = _KINDS.get(event.data.get("kind"), "question")
    return Waiting(f"{session}-{short}", kind, event.text[:MAX_TEXT], digest, ref)


def text_hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def why_not(waiting: Waiting | None, answer: Answer) -> str:
    """Why this answer does not go to what is asked now; "" when it does."""
    if waiting is None:
        return "it asks nothing (any more)"
    if waiting.id != answer.id:
        return f"it asks something else now: {waiting.id}"
    if answer.hash and answer.hash != waiting.hash:
        return "the text of the question has changed"
    if not waiting.ref and answer.decision != "answer":
        return "it asks in its terminal, where only it knows what means yes: answer it in words"
    if answer.decision == "allow" and waiting.kind != "approval":
        return "it asks for an answer in words, not for approval"
    return ""


def spoken(waiting: Waiting, answer: Answer) -> bytes:
    """What is typed into the session."""
    if not waiting.ref:
        return answer.text.encode("utf-8", "surrogateescape") + b"\r"
    said = {"answer": waiting.ref, "hash": waiting.hash, "decision": answer.decision, "text": answer.text}
    return json.dumps(said).encode() + b"\n"


def verbs(waiting: Waiting) -> tuple[str, ...]:
    """What can be done about it, in the words of the command line."""
    return tuple(
        verb
        for decision, verb in _OFFERS.items()
        if not why_not(waiting, Answer(waiting.id, decision))  # type: ignore[arg-type]
    )

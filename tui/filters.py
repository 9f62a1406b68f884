"""The filter language: `login state:failed,running -agent:dev "exact words"`. Pure.

A word is looked for in names, runs, agents and lanes with its letters in order but not side by side (`lgn` finds
`login`), in prompts as it stands, in ids at their beginning. Capitals in a word count, small letters match both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tui.badges import BADGES, badge_of
from tui.state import TaskView

_LONGEST = 1000  # characters of a filter

Test = Callable[[TaskView, str], int | None]  # (task, name of its run) -> score of a match


class FilterError(ValueError):
    """`position`: of the offending term in the text. `kept`: the filter made of all other terms."""

    def __init__(self, message: str, position: int, hint: str = "") -> None:
        super().__init__(message)
        self.position = position
        self.hint = hint
        self.kept = EVERYTHING


@dataclass(frozen=True)
class Filter:
    """False when it lets everything through. Equal when the text is."""

    text: str = ""
    tests: tuple[Test, ...] = field(default=(), compare=False, repr=False)

    def __bool__(self) -> bool:
        return bool(self.tests)

    def matches(self, task: TaskView, run_name: str = "") -> int | None:
        """How well, from 0 up; None: not at all."""
        score = 0
        for test in self.tests:
            found = test(task, run_name)
            if found is None:
                return None
            score += found
        return score


EVERYTHING = Filter()


def parse(text: str) -> Filter:
    """Raises `FilterError`. What is only begun (`agent:`, `-`, an open quote) is no error."""
    if len(text) > _LONGEST:
        raise FilterError(f"longer than {_LONGEST} characters", _LONGEST)
    tests: list[Test] = []
    kept: list[str] = []
    wrong: FilterError | None = None
    for term in _terms(text):
        try:
            test = _test(term)
        except FilterError as error:
            wrong = wrong or error
            continue
        kept.append(text[term.start : term.end])
        if test is not None:
            tests.append(_negated(test) if term.negated else test)
    if wrong is not None:
        wrong.kept = Filter(" ".join(kept), tuple(tests))
        raise wrong
    return Filter(text, tuple(tests))


# reading


class _Value(NamedTuple):
    """One of the values of a term, or all of a word."""

    text: str
    start: int
    quoted: bool


class _Term(NamedTuple):
    start: int
    end: int
    negated: bool
    key: str  # "" for a word
    values: list[_Value]


def _terms(text: str) -> Iterator[_Term]:
    at = 0
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        if at >= len(text):
            return
        start = at
        negated = text[at] in "-!"
        at += negated
        head = re.compile(r"([^\s\":,]+):").match(text, at)
        key = head[1] if head else ""
        values, at = _values(text, head.end() if head else at, split=bool(key))
        yield _Term(start, at, negated, key, values)


def _values(text: str, at: int, *, split: bool) -> tuple[list[_Value], int]:
    """Up to the next blank outside quotes; with `split` at commas outside quotes."""
    values: list[_Value] = []
    parts: list[str] = []
    start, quoted, open_quote = at, False, False
    while at < len(text) and (open_quote or not text[at].isspace()):
        char = text[at]
        if char == '"':
            open_quote = not open_quote
            quoted = True
        elif char == "," and split and not open_quote:
            values.append(_Value("".join(parts), start, quoted))
            parts, start, quoted = [], at + 1, False
        else:
            parts.append(char)
        at += 1
    values.append(_Value("".join(parts), start, quoted))
    return [value for value in values if value.text], at


def _test(term: _Term) -> Test | None:
    if not term.key:
        if not term.values:
            return None
        value = term.values[0]
        return _phrase(value.text) if value.quoted else _word(value.text)
    make = _KEYS.get(term.key.lower())
    if make is None:
        hint = f"keys: {' '.join(_KEYS)}; in quotes it is text"
        raise FilterError(f"no key {term.key}", term.start + term.negated, hint)
    made = [make(value) for value in term.values]
    if not made:
        return None
    return made[0] if len(made) == 1 else _any(made)


# words


def _word(word: str) -> Test:
    fold = word.islower() or not any(char.isalpha() for char in word)
    look = _scorer(word, fold)
    wanted = word.lower()
    small = str.lower if fold else str

    def test(task: TaskView, run: str) -> int | None:
        best = look(task.name) * 2
        if run:
            best = max(best, look(run))
        if task.agent:
            best = max(best, look(task.agent))
        if task.lane:
            best = max(best, look(task.lane))
        if best:
            return best
        if task.id.startswith(wanted):
            return _PREFIX
        if task.prompt and word in small(task.prompt):
            return 5
        return 5 if task.command and word in small(task.command) else None

    return test


_EQUAL, _PREFIX, _BOUNDARY, _INSIDE, _SCATTERED = 100, 80, 70, 50, 30


def _scorer(word: str, fold: bool) -> Callable[[str], int]:
    """0: not in it. Remembers what it has seen: many tasks share their run, agent, lane and often their name."""
    seen: dict[str, int] = {}

    def score(text: str) -> int:
        known = seen.get(text)
        if known is None:
            known = seen[text] = _score(text.lower() if fold else text)
        return known

    def _score(text: str) -> int:
        at = text.find(word)
        if at == 0:
            return _EQUAL if len(text) == len(word) else _PREFIX
        if at > 0:
            return _INSIDE if text[at - 1].isalnum() else _BOUNDARY
        end = first = text.find(word[0])
        for char in word[1:]:  # no pattern: one could be made that takes for ever
            if end < 0:
                return 0
            end = text.find(char, end + 1)
        return max(1, _SCATTERED - (end + 1 - first - len(word))) if end >= 0 else 0

    return score


def _phrase(phrase: str) -> Test:
    fold = phrase == phrase.lower()
    small = str.lower if fold else str

    def test(task: TaskView, run: str) -> int | None:
        texts = (task.name, run, task.agent, task.lane, task.prompt, task.command)
        return _INSIDE if any(phrase in small(text) for text in texts) else None

    return test


def _negated(test: Test) -> Test:
    return lambda task, run: 0 if test(task, run) is None else None


def _any(tests: list[Test]) -> Test:
    def test(task: TaskView, run: str) -> int | None:
        return max((found for each in tests if (found := each(task, run)) is not None), default=None)

    return test


# keys


def _text(get: Callable[[TaskView, str], str]) -> Callable[[_Value], Test]:
    def make(value: _Value) -> Test:
        wanted = value.text
        small = str.lower if wanted == wanted.lower() else str
        return lambda task, run: 0 if wanted in small(get(task, run)) else None

    return make


def _run(value: _Value) -> Test:
    named = _text(lambda task, run: run)(value)
    start = value.text.lower()
    return lambda task, run: 0 if task.run.startswith(start) and task.run else named(task, run)


def _id(value: _Value) -> Test:
    start = value.text.lower()
    return lambda task, run: 0 if task.id.startswith(start) else None


def _state(value: _Value) -> Test:
    """A state, or what its badge says; the badge's letter, or the beginning of the word."""
    words = [word for word, badge in BADGES.items() if badge.letter.lower() == value.text.lower()]
    word = words[0] if words else _choice(value, "state", BADGES)
    if word in ("waiting", "throttled"):
        return lambda task, run: 0 if badge_of(task).word == word else None
    return lambda task, run: 0 if task.state == word else None


_ACTIVITIES = ("starting", "working", "waiting", "idle", "throttled", "stopped", "unknown")


def _activity(value: _Value) -> Test:
    word = _choice(value, "activity", _ACTIVITIES)
    return lambda task, run: 0 if task.activity.word == word else None


_IS: dict[str, Callable[[TaskView], bool]] = {
    "waiting": lambda task: task.asks,
    "open": lambda task: task.open,
    "done": lambda task: not task.open,
    "single": lambda task: not task.run,
    "adhoc": lambda task: not task.run,  # the same: what the list calls single tasks
    "retried": lambda task: task.failures + task.faults > 0,
    "dead": lambda task: task.state == "failed" and task.reason == "poison",
}


def _is(value: _Value) -> Test:
    check = _IS[_choice(value, "is", _IS)]
    return lambda task, run: 0 if check(task) else None


def _choice(value: _Value, key: str, words: object) -> str:
    known = list(words)  # type: ignore[call-overload]
    found = [word for word in known if word.startswith(value.text.lower())]
    if not found:
        raise FilterError(f"no {key} {value.text}", value.start, f"{key}: {' '.join(known)}")
    return str(found[0])


_KEYS: dict[str, Callable[[_Value], Test]] = {
    "state": _state,
    "is": _is,
    "agent": _text(lambda task, run: task.agent),
    "run": _run,
    "lane": _text(lambda task, run: task.lane),
    "name": _text(lambda task, run: task.name),
    "provider": _text(lambda task, run: task.provider),
    "worker": _text(lambda task, run: task.worker),
    "reason": _text(lambda task, run: task.reason),
    "activity": _activity,
    "id": _id,
}
KEYS = tuple(_KEYS)

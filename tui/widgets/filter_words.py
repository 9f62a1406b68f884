"""What may stand where the cursor is in a filter: keys, and the values the fleet has. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from tui.badges import BADGES, badge_of
from tui.cells import line
from tui.state import Fleet, TaskView

_MOST = 50  # values offered
_BADGES = tuple(BADGES)

# key -> its values in one task; those with none offer the key alone
VALUES: Mapping[str, Callable[[TaskView, Fleet], Iterable[str]]] = {
    "state": lambda task, fleet: (badge_of(task).word, task.state),
    "agent": lambda task, fleet: (task.agent,),
    "run": lambda task, fleet: (fleet.runs[task.run].name,) if task.run in fleet.runs else (),
    "lane": lambda task, fleet: (task.lane,),
    "worker": lambda task, fleet: (task.worker,),
    "provider": lambda task, fleet: (task.provider,),
    "reason": lambda task, fleet: (task.reason,),
}


class Offer(NamedTuple):
    """The word at `start:end` of the text may become one of `words`."""

    start: int
    end: int
    words: tuple[str, ...]


def offer(text: str, cursor: int, fleet: Fleet) -> Offer:
    """What the word up to the cursor may become, the commonest value first."""
    start = text.rfind(" ", 0, cursor) + 1
    stop = text.find(" ", cursor)
    end = len(text) if stop < 0 else stop
    word = text[start:cursor]
    lead = word[: len(word) - len(word.lstrip("-!"))]
    word = word[len(lead) :]
    key, colon, value = word.partition(":")
    if not colon:
        words = [f"{lead}{each}:" for each in VALUES if each.startswith(word.lower())]
        return Offer(start, end, tuple(words))
    before, _, last = value.rpartition(",")
    before = before + "," if "," in value else ""
    found = [each for each in _values(key.lower(), fleet) if each.lower().startswith(last.lower())]
    return Offer(start, end, tuple(f"{lead}{key}:{before}{_quoted(each)}" for each in found))


def _values(key: str, fleet: Fleet) -> list[str]:
    if key not in VALUES:
        return []
    counts: Counter[str] = Counter()
    for task in fleet.tasks.values():
        counts.update(VALUES[key](task, fleet))
    if key == "state":
        counts.update(_BADGES)  # those no task has now are legal too
    del counts[""]
    return [line(value) for value, _ in counts.most_common(_MOST)]


def _quoted(value: str) -> str:
    return f'"{value}"' if " " in value else value

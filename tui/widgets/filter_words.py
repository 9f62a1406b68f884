"""What may stand where the cursor is in a filter: keys, and the values the fleet has. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from tui.badges import BADGES, badge_of
from tui.cells import line
from tui.filters import KEYS
from tui.state import Fleet, TaskView

_MOST = 50  # values offered
# what is legal whether a task has it now or not
_FIXED: Mapping[str, tuple[str, ...]] = {
    "state": tuple(BADGES),
    "is": ("waiting", "open", "done", "single", "retried", "dead"),
    "activity": ("starting", "working", "waiting", "idle", "throttled", "stopped", "unknown"),
}
_OF_TASK: Mapping[str, Callable[[TaskView, Fleet], Iterable[str]]] = {
    "state": lambda task, fleet: {badge_of(task).word, task.state},
    "activity": lambda task, fleet: (task.activity.word,),
    "agent": lambda task, fleet: (task.agent,),
    "run": lambda task, fleet: (fleet.runs[task.run].name,) if task.run in fleet.runs else (),
    "lane": lambda task, fleet: (task.lane,),
    "name": lambda task, fleet: (task.name,),
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
        words = [f"{lead}{each}:" for each in KEYS if each.startswith(word.lower())]
        return Offer(start, end, tuple(words))
    before, _, last = value.rpartition(",")
    before = before + "," if "," in value else ""
    found = [each for each in _values(key.lower(), fleet) if each.lower().startswith(last.lower())]
    return Offer(start, end, tuple(f"{lead}{key}:{before}{_quoted(each)}" for each in found))


def _values(key: str, fleet: Fleet) -> list[str]:
    """Those of the fleet, the commonest first, then what else is legal."""
    counts: Counter[str] = Counter()
    if values := _OF_TASK.get(key):
        for task in fleet.tasks.values():
            counts.update(values(task, fleet))
    del counts[""]
    fixed = _FIXED.get(key)
    found = [line(value) for value, _ in counts.most_common(_MOST)]
    if fixed is None:
        return found
    known = [value for value in found if value in fixed]
    return known + [value for value in fixed if value not in known]


def _quoted(value: str) -> str:
    return f'"{value}"' if " " in value or "," in value else value

"""Which tasks are marked for a bulk action, by id. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence


class Marks:
    """Marks survive filters and folds; a task that is gone loses its mark."""

    def __init__(self) -> None:
        self._marked: dict[str, None] = {}  # in order of marking
        self._before: dict[str, None] = {}  # what was marked before the range began
        self.anchor = ""  # key of the row where a range began; "" when there is none
        self.ranging = False  # does every movement extend the range?

    def __repr__(self) -> str:
        return f"<Marks {len(self._marked)}{' ranging' if self.ranging else ''}>"

    def __len__(self) -> int:
        return len(self._marked)

    def __contains__(self, task: str) -> bool:
        return task in self._marked

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(self._marked)

    def toggle(self, task: str) -> None:
        if task in self._marked:
            del self._marked[task]
        else:
            self._marked[task] = None

    def mark_all(self, tasks: Sequence[str]) -> None:
        """All of them; when all are marked already, none of them."""
        if all(task in self._marked for task in tasks):
            for task in tasks:
                del self._marked[task]
        else:
            self._marked |= dict.fromkeys(tasks)

    def begin(self, anchor: str, *, ranging: bool = False) -> None:
        """A range starts at the row `anchor`; `ranging`: until told otherwise."""
        self.anchor, self.ranging = anchor, ranging
        self._before = dict(self._marked)

    def extend(self, tasks: Iterable[str]) -> None:
        """The range is `tasks` now: what it left behind is as before."""
        self._marked = self._before | dict.fromkeys(tasks)

    def end(self) -> None:
        """The range stays marked and grows no more."""
        self.anchor, self.ranging = "", False

    def clear(self) -> None:
        self._marked, self._before = {}, {}
        self.end()

    def keep(self, known: Container[str]) -> None:
        """Forget the tasks that are gone."""
        for marked in (self._marked, self._before):
            for task in [task for task in marked if task not in known]:
                del marked[task]

"""Everything wrong with an input, gathered and then raised as one error, a line for each place."""

from __future__ import annotations

from dataclasses import dataclass, field

from lite.errors import QuarterdeckError

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong. `place` is `file:line:column` or a field's name."""

    place: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


@dataclass(slots=True)
class Problems:
    """What is wrong, in the order found; the same thing is kept once. `more` counts what was not looked at."""

    found: dict[Problem, None] = field(default_factory=dict)
    more: int = 0

    def __len__(self) -> int:
        return len(self.found) + self.more

    @property
    def crowded(self) -> bool:
        """Are there so many already that good advice about another one would never be read?"""
        return len(self.found) >= 2 * _SHOWN

    def add(self, place: str, message: str, hint: str = "") -> None:
        self.found[Problem(place, message, hint)] = None

    def take(self, error: QuarterdeckError, place: str = "") -> None:
        """Add what another check raised, at `place` instead of its own when given."""
        self.add(place or error.place, error.message, error.hint)

    def refuse(self, kind: type[QuarterdeckError]) -> None:
        """Raise `kind` unless there is nothing to say: the first problem with its place and hint; further ones as
        lines of the message, each with its own place."""
        if not self.found:
            return
        first, *rest = self.found
        lines = [first.message, *map(str, rest[: _SHOWN - 1])]
        if len(self) > _SHOWN:
            lines.append(f"... and {len(self) - _SHOWN} more")
        raise kind("\n".join(lines), hint=first.hint, place=first.place)

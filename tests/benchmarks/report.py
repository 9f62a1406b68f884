"""How a benchmark says what it measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """One comparison. `ratio` is ours over theirs; `aim` in words, `met` None when there is none."""

    name: str
    ours: str
    theirs: str
    ratio: float | None = None
    aim: str = ""
    met: bool | None = None


def against(
    name: str, ours: float, theirs: float, unit: str, *, at_least: float | None = None, at_most: float | None = None
) -> Line:
    ratio = ours / theirs if theirs else float("inf")
    met = None
    aim = ""
    if at_least is not None:
        met, aim = ratio >= at_least, f">= {at_least:g}x"
    if at_most is not None:
        met, aim = ratio <= at_most, f"<= {at_most:g}x"
    return Line(name, f"{ours:,.6g} {unit}", f"{theirs:,.6g} {unit}", ratio, aim, met)


def show(title: str, lines: Sequence[Line]) -> None:
    print(f"\n{title}")
    print(f"  {'':44} {'ours':>18} {'theirs':>18} {'ratio':>7}  aim")
    for line in lines:
        ratio = "" if line.ratio is None else f"{line.ratio:.2f}x"
        verdict = "" if line.met is None else ("  met" if line.met else "  MISSED")
        print(f"  {line.name:44} {line.ours:>18} {line.theirs:>18} {ratio:>7}  {line.aim}{verdict}", flush=True)


def median_of(measure: Callable[[], float], rounds: int = 3) -> float:
    return statistics.median(measure() for _ in range(rounds))


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

"""What attempts cost: list prices where the agent says nothing, and sums that keep apart how each number is known.

Pure. An estimate is for people; nothing is ever stopped because of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Literal

from lite.model.attempt import Attempt
from lite.model.settings import Price
from providers.base import Source, Usage

By = Literal["agent", "run", "day", "task", "model"]
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Cost:
    """A sum over attempts. `reported_usd` is what agents said (or we measured), `estimated_usd` comes from list prices;
    `unpriced` counts the attempts whose cost nobody knows, `uncounted` those whose tokens nobody knows."""

    key: str
    attempts: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    reported_usd: float = 0.0
    estimated_usd: float = 0.0
    unpriced: int = 0
    uncounted: int = 0


def priced(usage: Usage, model: str, prices: Mapping[str, Price]) -> Usage:
    """`usage` with its model and, where it tells tokens but no cost, an estimate by the first pattern of `prices` that
    fits the model."""
    usage = usage if usage.model or not model else replace(usage, model=model)
    if usage.cost_usd is not None or usage.tokens_in is None or usage.tokens_out is None or not usage.model:
        return usage
    price = next((price for pattern, price in prices.items() if fnmatchcase(usage.model, pattern)), None)
    if price is None:
        return usage
    cached = min(usage.tokens_cached or 0, usage.tokens_in)
    fresh = usage.tokens_in - cached
    cost = (fresh * price.tokens_in + cached * price.tokens_cached + usage.tokens_out * price.tokens_out) / _MILLION
    return replace(usage, cost_usd=cost, cost_source=Source.ESTIMATED)


class Tally:
    """One sum per agent, run ("" for tasks of none), UTC day, task or model ("" unknown), in order of first sight, of
    what ended at `since` (ms) or later."""

    def __init__(self, by: By, since: int = 0) -> None:
        self._by = by
        self._since = since
        self._sums: dict[str, Cost] = {}

    def add(self, attempt: Attempt) -> None:
        if attempt.ended_at >= self._since:
            key = _key(attempt, self._by)
            self._sums[key] = _plus(self._sums.get(key) or Cost(key), attempt.usage)

    def costs(self) -> list[Cost]:
        return list(self._sums.values())


def total(costs: Iterable[Cost]) -> Cost:
    found = Cost("")
    for cost in costs:
        found = Cost(
            "",
            found.attempts + cost.attempts,
            found.tokens_in + cost.tokens_in,
            found.tokens_out + cost.tokens_out,
            found.tokens_cached + cost.tokens_cached,
            found.reported_usd + cost.reported_usd,
            found.estimated_usd + cost.estimated_usd,
            found.unpriced + cost.unpriced,
            found.uncounted + cost.uncounted,
        )
    return found


def _plus(cost: Cost, usage: Usage) -> Cost:
    known = usage.cost_known
    amount = usage.cost_usd or 0.0
    return Cost(
        cost.key,
        cost.attempts + 1,
        cost.tokens_in + (usage.tokens_in or 0),
        cost.tokens_out + (usage.tokens_out or 0),
        cost.tokens_cached + (usage.tokens_cached or 0),
        cost.reported_usd + (amount if known in (Source.REPORTED, Source.MEASURED) else 0.0),
        cost.estimated_usd + (amount if known is Source.ESTIMATED else 0.0),
        cost.unpriced + (known is Source.UNKNOWN),
        cost.uncounted + (usage.tokens_in is None or usage.tokens_out is None),
    )


def _key(attempt: Attempt, by: By) -> str:
    match by:
        case "agent":
            return attempt.agent
        case "run":
            return attempt.run
        case "task":
            return attempt.task
        case "model":
            return attempt.usage.model
        case "day":
            return datetime.fromtimestamp(attempt.ended_at / 1000, UTC).date().isoformat()

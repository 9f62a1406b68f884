"""Costs: estimates by list prices, and sums that keep apart how each number is known."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite.config.load import load_text
from lite.errors import ConfigInvalid
from lite.model.attempt import Attempt
from lite.model.settings import Price
from lite.rules.costs import By, Tally, priced, total
from providers.base import Source, Usage

PRICES = {"m-mini*": Price(1, 2, 0.5), "m-*": Price(10, 20, 5)}
DAY = 86_400_000


def ended(usage: Usage, **fields: Any) -> Attempt:
    known = {"task": "t", "number": 1, "run": "", "agent": "a", "worker": "w", "ended": "task.succeeded", "reason": ""}
    return Attempt(**({"line": 1, "started_at": 0, "ended_at": 0, "usage": usage} | known | fields))


def test_tokens_without_a_cost_are_estimated_and_said_to_be() -> None:
    said = Usage(2_000_000, 1_000_000, None, Source.REPORTED, tokens_cached=500_000)
    found = priced(said, "m-large", PRICES)
    assert found.cost_usd == pytest.approx(1.5 * 10 + 0.5 * 5 + 1 * 20)
    assert (found.model, found.source, found.cost_known) == ("m-large", Source.REPORTED, Source.ESTIMATED)
    assert priced(said, "m-mini-2", PRICES).cost_usd == pytest.approx(1.5 + 0.25 + 2), "the first pattern that fits"


@pytest.mark.parametrize(
    ("usage", "model"),
    [
        (Usage(10, 10, 0.25, Source.REPORTED), "m-large"),  # the agent said it
        (Usage(10, None, None, Source.REPORTED), "m-large"),  # half the tokens
        (Usage(), "m-large"),
        (Usage(10, 10, None, Source.REPORTED), "other"),
        (Usage(10, 10, None, Source.REPORTED), ""),
    ],
)
def test_nothing_is_made_up(usage: Usage, model: str) -> None:
    found = priced(usage, model, PRICES)
    assert (found.cost_usd, found.cost_source) == (usage.cost_usd, None)


def test_the_model_the_agent_named_counts_before_the_configured_one() -> None:
    said = Usage(1_000_000, 0, None, Source.REPORTED, model="m-mini-3")
    assert priced(said, "m-large", PRICES).cost_usd == pytest.approx(1)


def test_sums_keep_apart_how_each_number_is_known() -> None:
    tally = Tally("agent")
    tally.add(ended(Usage(10, 5, 0.5, Source.REPORTED)))
    tally.add(ended(Usage(10, 5, 0.25, Source.REPORTED, 4, "m", Source.ESTIMATED)))
    tally.add(ended(Usage(1, 1, None, Source.REPORTED)))
    tally.add(ended(Usage()))
    tally.add(ended(Usage(7, 7, 1.0, Source.REPORTED), agent="b"))
    first, second = tally.costs()
    assert (first.key, first.attempts, first.tokens_in, first.tokens_out, first.tokens_cached) == ("a", 4, 21, 11, 4)
    assert (first.reported_usd, first.estimated_usd, first.unpriced, first.uncounted) == (0.5, 0.25, 2, 1)
    assert (second.key, second.reported_usd, second.unpriced) == ("b", 1.0, 0)
    assert total([first, second]).attempts == 5


@pytest.mark.parametrize(
    ("by", "keys"),
    [
        ("run", ["r", ""]),
        ("task", ["t", "u"]),
        ("day", ["1970-01-01", "1970-01-03"]),
        ("model", ["m", ""]),
        ("agent", ["a"]),
    ],
)
def test_one_line_for_each(by: By, keys: list[str]) -> None:
    tally = Tally(by)
    tally.add(ended(Usage(model="m"), run="r", ended_at=DAY - 1))
    tally.add(ended(Usage(), task="u", ended_at=2 * DAY))
    assert [cost.key for cost in tally.costs()] == keys


def test_what_ended_before_is_left_out() -> None:
    tally = Tally("agent", since=100)
    tally.add(ended(Usage(1, 1), ended_at=99))
    tally.add(ended(Usage(2, 2), ended_at=100))
    assert [(cost.attempts, cost.tokens_in) for cost in tally.costs()] == [(1, 2)]


numbers = st.none() | st.integers(0, 10**9)
usages = st.builds(Usage, numbers, numbers, st.none() | st.floats(0, 1e6), st.sampled_from(Source), numbers)


@given(st.lists(st.tuples(usages, st.sampled_from("abc")), max_size=20))
def test_the_total_is_the_same_however_it_is_cut(found: list[tuple[Usage, str]]) -> None:
    by_agent, by_day = Tally("agent"), Tally("day")
    for usage, agent in found:
        for tally in (by_agent, by_day):
            tally.add(ended(usage, agent=agent))
    one, other = total(by_agent.costs()), total(by_day.costs())
    assert (one.attempts, one.tokens_in, one.unpriced) == (other.attempts, other.tokens_in, other.unpriced)
    assert one.reported_usd + one.estimated_usd == pytest.approx(other.reported_usd + other.estimated_usd)


def test_the_configured_price_comes_first_and_the_built_in_ones_follow() -> None:
    settings = load_text('prices: {"gpt-5*": {in: 1, out: 2}, "own-*": {in: 3, out: 4, cached: 0}}', "q.yaml")
    assert list(settings.prices)[:2] == ["gpt-5*", "own-*"]
    assert settings.prices["gpt-5*"] == Price(1, 2, 1)
    assert settings.prices["own-*"].tokens_cached == 0
    assert settings.prices["claude-sonnet-4*"].tokens_out > 0


def test_a_wrong_price_is_told_with_its_place() -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load_text("prices:\n  m: {in: -1, out: 2}\n", "q.yaml")
    assert caught.value.place.startswith("q.yaml:2:")

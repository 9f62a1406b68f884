"""What models cost: the table that comes with the program, and what the configuration says instead."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources

import yaml
from pydantic import Field

from lite.config.fields import Strict
from lite.model.settings import Price


class PriceModel(Strict):
    """USD per million tokens."""

    tokens_in: float = Field(alias="in", ge=0, le=1e6, description="tokens read")
    tokens_out: float = Field(alias="out", ge=0, le=1e6, description="tokens written")
    tokens_cached: float | None = Field(
        default=None, alias="cached", ge=0, le=1e6, description="tokens read from a cache; as `in` when left out"
    )

    def to_price(self) -> Price:
        cached = self.tokens_in if self.tokens_cached is None else self.tokens_cached
        return Price(self.tokens_in, self.tokens_out, cached)


@cache
def built_in() -> Mapping[str, Price]:
    text = (resources.files("lite.config") / "prices.yaml").read_text("utf-8")
    return {name: PriceModel.model_validate(said).to_price() for name, said in yaml.safe_load(text).items()}


def all_prices(configured: Mapping[str, PriceModel]) -> Mapping[str, Price]:
    """The configured ones first; one of them replaces the built-in one of the same pattern."""
    own = {name: model.to_price() for name, model in configured.items()}
    return own | {name: price for name, price in built_in().items() if name not in own}

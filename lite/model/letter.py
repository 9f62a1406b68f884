"""Letters: work that came in from outside, as it came."""

from __future__ import annotations

from dataclasses import dataclass

MAX_LETTER = 2 << 20  # bytes, as much as a request's body may have


@dataclass(frozen=True, slots=True)
class Letter:
    """`id` names it for ever; `payload` is meant to be an order in JSON, and may be anything; of one beyond
    `MAX_LETTER` bytes there may only be the beginning, but more than that many. `retaken`: it was given to a consumer
    before, which may have done what it asks for. `problem`: it did not even come as a payload; why, in words."""

    id: str
    payload: bytes
    retaken: bool = False
    problem: str = ""

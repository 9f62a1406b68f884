"""Letters: work that came in from outside, as it came."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Letter:
    """`id` names it for ever; `payload` is meant to be an order in JSON, and may be anything. `retaken`: another
    consumer had it before, and may have done what it asks for."""

    id: str
    payload: bytes
    retaken: bool = False

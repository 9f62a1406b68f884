"""A call's value or the error of ours it raised; any other error passes through and fails the test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lite.errors import QuarterdeckError


def outcome(call: Callable[..., Any], *args: Any, **more: Any) -> Any:
    try:
        return call(*args, **more)
    except QuarterdeckError as error:
        return error

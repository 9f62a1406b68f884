"""Path and query parameters shared by the routes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path, Query
from pydantic import AfterValidator
from starlette.requests import HTTPConnection

from lite.api.headers import HERE_ONLY
from lite.errors import UsageError
from lite.rules.costs import By
from lite.rules.spelling import did_you_mean, listing

_LARGEST = (1 << 53) - 1


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("a NUL character")
    return text


def _decoded(text: str) -> str:
    return _no_nul(text.replace("%2F", "/").replace("%2f", "/"))


Ref = Annotated[
    str,
    Path(description="An id, a unique prefix of one, or `run/name` with the slash encoded as %2F"),
    AfterValidator(_decoded),
]
SessionId = Annotated[str, Path(description="`<task>-<attempt>`"), AfterValidator(_decoded)]
Name = Annotated[str, Query(), AfterValidator(_no_nul)]
Count = Annotated[int | None, Query(ge=1, le=100_000, description="At most this many")]
Cursor = Annotated[int, Query(ge=0, le=_LARGEST, description="Events with a greater cursor")]
Offset = Annotated[int, Query(ge=0, le=_LARGEST, description="From this logical offset on")]
Seq = Annotated[int, Query(ge=0, le=_LARGEST, description="Tasks with a greater `seq`")]


Since = Annotated[int, Query(ge=0, le=_LARGEST, description="What ended at this time (ms since the epoch) or later")]
CostsBy = Annotated[By, Query(description="What a line sums up")]


async def _here_only(request: HTTPConnection) -> bool:
    return HERE_ONLY in request.headers


Here = Annotated[bool, Depends(_here_only)]  # another worker asks for its client: it wants no third one asked


async def known_query(request: HTTPConnection) -> None:
    """A misspelt filter must not silently filter nothing."""
    given = request.query_params.keys()
    if not given or request.scope["type"] != "http":
        return
    route: Any = request.scope.get("route")
    known = [parameter.alias for parameter in route.dependant.query_params] if route is not None else []
    for name in given:
        if name not in known:
            hint = f"it takes {listing(known)}" if known else "it takes none"
            raise UsageError(f"unknown parameter {name!r}{did_you_mean(name, known)}", hint=hint, place=name)

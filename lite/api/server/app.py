"""The application: every route, every error in one shape."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from lite import __version__
from lite.api.server import (
    routes_events,
    routes_fleet,
    routes_plans,
    routes_probes,
    routes_sessions,
    routes_supervisor,
    routes_tasks,
    routes_workers,
)
from lite.api.server.answers import failure, joined, plain_failure
from lite.api.server.document import document
from lite.api.server.door import Door
from lite.api.server.edge import Edge, too_large
from lite.api.server.parameters import known_query
from lite.api.server.relay_socket import RelaySockets
from lite.api.server.streams import Streams
from lite.errors import QuarterdeckError
from lite.rules.spelling import did_you_mean

if TYPE_CHECKING:
    from lite.engine.operations import Operations

_ABOUT = (
    "Runs a fleet of coding agents. Times are integer ms since the epoch; every answer that is not 2xx is an ErrorJson."
)


def build_app(operations: Operations, closing: asyncio.Event | None = None) -> FastAPI:
    """`closing` ends the streams; `app.state.relays` are to be closed after it."""
    counts: dict[str, float] = {}
    streams = Streams(closing or asyncio.Event(), counts)
    relays = RelaySockets(operations, streams)
    app = FastAPI(
        title="Quarterdeck",
        version=__version__,
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(known_query)],
        responses={"default": {"description": "An error", "content": _ERROR_CONTENT}},
    )
    for router in (
        routes_tasks.router(operations),
        routes_plans.router(operations),
        routes_events.router(operations, streams),
        routes_sessions.router(operations, streams, relays),
        routes_fleet.router(operations),
        routes_workers.router(operations, streams),
        routes_supervisor.router(operations),
        routes_probes.router(operations, counts),
    ):
        app.include_router(router)
    app.state.relays = relays
    app.add_exception_handler(QuarterdeckError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    app.add_middleware(Edge, counts=counts)
    app.add_middleware(Door, token=operations.token, address=operations.address, counts=counts)
    app.openapi = lambda: document(app)  # type: ignore[method-assign]
    return app


_ERROR_CONTENT = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorJson"}}}


async def _ours(_: Request, error: Exception) -> Response:
    assert isinstance(error, QuarterdeckError)
    return failure(error)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first: dict[str, Any] = dict(error.errors()[0])
    where = list(first["loc"])
    kind = first["type"]
    if kind == "json_invalid":
        reason = first.get("ctx", {}).get("error", "")
        return plain_failure(400, "usage", f"the body is not JSON: {reason}", "send a JSON object", f"byte {where[-1]}")
    place = joined(
        [part for part in where[1:] if isinstance(part, int) or (part.isidentifier() and part not in _TYPES)]
    )
    if kind == "extra_forbidden":
        known = document(request.app)["components"]["schemas"]
        names = _siblings(known, request, where[1:-1])
        hint = did_you_mean(str(where[-1]), names).removeprefix(", ")
        return plain_failure(400, "usage", f"unknown key {where[-1]!r}", hint, place or str(where[-1]))
    if kind == "missing" and len(where) == 1:
        return plain_failure(400, "usage", "a JSON body is needed", "see /openapi.json", "body")
    return plain_failure(400, "usage", str(first["msg"]), "", place or str(where[0]))


_TYPES = {"str", "int", "bool", "float"}


def _siblings(schemas: dict[str, Any], request: Request, path: list[Any]) -> list[str]:
    """The keys that would have been known where an unknown one was found."""
    route: Any = request.scope.get("route")
    fields = route.dependant.body_params if route is not None else []
    name = getattr(fields[0].field_info.annotation, "__name__", "") if fields else ""
    if not name and fields:
        arguments = getattr(fields[0].field_info.annotation, "__args__", ())
        name = next((one.__name__ for one in arguments if one.__name__ in schemas), "")
    schema = schemas.get("HttpCallBody" if path and path[0] == "http" else name, {})
    return list(schema.get("properties", {}))


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = f"{request.method} {request.url.path}"
    if error.status_code == 404:
        hint = "/openapi.json lists the paths; the slash of run/name is written %2F"
        return plain_failure(404, "not-found", f"there is no {what}", hint)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        answer = plain_failure(405, "usage", f"there is no {what}", f"allowed: {allowed}")
        answer.headers["Allow"] = allowed
        return answer
    if error.status_code == 413:
        return too_large()
    return plain_failure(error.status_code, "usage", str(error.detail))

"""Health, readiness and metrics: from memory, without waiting for anything, so that they answer under full load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response

from lite import __version__
from lite.api import messages
from lite.api.server.answers import answer, described, plain_failure
from lite.api.server.door import STRANGER
from lite.api.server.metrics import TEXT, exposition

if TYPE_CHECKING:
    from lite.engine.operations import Operations


def router(operations: Operations, counts: Mapping[str, float]) -> APIRouter:
    routes = APIRouter(tags=["probes"])

    @routes.get("/health", responses=described(messages.HealthJson))
    async def health(request: Request) -> Response:
        return answer({"ok": True, "ready": operations.supervisor().ready, "version": _version(request)})

    @routes.get("/ready", responses=described(messages.HealthJson))
    async def ready(request: Request) -> Response:
        """503 while it takes no work."""
        info = operations.supervisor()
        if not info.ready or info.stopping:
            return plain_failure(503, "not-ready", "stopping" if info.stopping else "starting")
        return answer({"ok": True, "ready": True, "version": _version(request)})

    @routes.get("/metrics", responses=described(TEXT, "Prometheus text"))
    async def metrics() -> Response:
        return Response(exposition({**operations.metrics(), **counts}), media_type=TEXT)

    return routes


def _version(request: Request) -> str:
    """Strangers are told no more than they need."""
    return "" if request.scope.get(STRANGER) else __version__

"""Health, readiness and metrics: from memory, without waiting for anything, so that they answer under full load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fastapi import APIRouter, Response

from lite import __version__
from lite.api import messages
from lite.api.server.answers import answer, described, plain_failure
from lite.api.server.metrics import TEXT, exposition

if TYPE_CHECKING:
    from lite.engine.operations import Operations


def router(operations: Operations, counts: Mapping[str, float]) -> APIRouter:
    routes = APIRouter(tags=["probes"])

    @routes.get("/health", responses=described(messages.HealthJson))
    async def health() -> Response:
        return answer({"ok": True, "ready": operations.supervisor().ready, "version": __version__})

    @routes.get("/ready", responses=described(messages.HealthJson))
    async def ready() -> Response:
        """503 while it takes no work."""
        info = operations.supervisor()
        if not info.ready or info.stopping:
            return plain_failure(503, "not-ready", "stopping" if info.stopping else "starting")
        return answer({"ok": True, "ready": True, "version": __version__})

    @routes.get("/metrics", responses=described(TEXT, "Prometheus text"))
    async def metrics() -> Response:
        return Response(exposition({**operations.metrics(), **counts}), media_type=TEXT)

    return routes

"""The supervisor itself and its configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Response

from lite.api import messages
from lite.api.server import bodies
from lite.api.server.answers import answer, described
from lite.api.server.render import config_json, status_json

if TYPE_CHECKING:
    from lite.engine.operations import Operations


def router(operations: Operations) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["supervisor"])

    @routes.get("/status", responses=described(messages.StatusJson))
    async def status() -> Response:
        return answer(status_json(operations.supervisor(), await operations.wait_events(0, 0)))

    @routes.get("/config", responses=described(messages.ConfigJson))
    async def config() -> Response:
        return answer(config_json(operations.settings))

    @routes.post("/reload", responses=described(messages.ConfigJson))
    async def reload() -> Response:
        """Read the configuration again; a wrong one changes nothing."""
        return answer(config_json(await operations.reload()))

    @routes.post("/shutdown", status_code=202, responses=described(messages.OkJson, "It will stop", status=202))
    async def shutdown(body: bodies.Shutdown = None) -> Response:
        """Running attempts are stopped and queue again, unless `keep_sessions`."""
        await operations.shutdown(keep_sessions=(body or {}).get("keep_sessions", False))
        return answer({"ok": True}, 202)

    return routes

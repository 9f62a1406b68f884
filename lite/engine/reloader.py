"""Watches the configuration file; a broken one keeps the last good settings and says so."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from watchfiles import Change, awatch

from lite.aio.probe import hit
from lite.aio.service import Service
from lite.engine.context import Context
from lite.engine.orchestrator import Orchestrator
from lite.errors import QuarterdeckError
from lite.model.event import Event, EventKind
from lite.model.settings import Settings

log = logging.getLogger(__name__)

FIXED = ("backend", "redis", "synchronous", "executor", "worker_name", "listen")  # read once, at the start


class Reloader:
    """Applies a changed file as a whole, then (who has an orchestrator) routes queued work again. Where there is a
    bridge, the fleet can be asked over it to read its files."""

    def __init__(
        self, context: Context, orchestrator: Orchestrator | None, path: Path, changed: Callable[[], None]
    ) -> None:
        self.last_error = ""
        self._context = context
        self._orchestrator = orchestrator
        self._path = path
        self._changed = changed
        self.service = Service("watch config", self._loop)

    async def reload(self) -> Settings:
        """Read the file again. Raises what loading raises (`ConfigInvalid`, `NotSupported`), keeping the settings."""
        now = self._context.clock.now()
        try:
            fresh = self._context.load_settings()
            self._refuse_fixed(fresh)
        except QuarterdeckError as error:
            if self.last_error != str(error):
                self.last_error = str(error)
                log.error("config rejected: %s", error)
                await self._context.backend.append(Event(EventKind.CONFIG_REJECTED, now, data=error.to_json()))
            hit("reloader.rejected")
            raise
        self.last_error = ""
        if fresh != self._context.settings:
            self._context.settings = fresh
            await self._context.backend.append(Event(EventKind.CONFIG_RELOADED, now, data={"path": fresh.path}))
            if self._orchestrator is not None:
                await self._orchestrator.reroute()
            self._changed()
        hit("reloader.reloaded")
        return fresh

    def _refuse_fixed(self, fresh: Settings) -> None:
        for name in FIXED:
            if getattr(fresh, name) != getattr(self._context.settings, name):
                log.warning("%s: a change of %s takes effect at the next start", self._path, name)

    async def _loop(self) -> None:
        folder = self._path.parent
        target = str(self._path)

        def ours(_: Change, path: str) -> bool:
            return path == target

        async for _ in awatch(folder, watch_filter=ours, recursive=False, step=50, debounce=400):
            try:
                await self.reload()
            except QuarterdeckError:
                continue  # said already; the last good settings stay

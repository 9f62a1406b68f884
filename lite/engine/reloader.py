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
from lite.errors import BackendError, QuarterdeckError
from lite.model.event import Event, EventKind
from lite.model.settings import Settings

log = logging.getLogger(__name__)

_LONGEST_BACKOFF_SECONDS = 5.0

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
        self._unrouted = False  # queued work is still to be routed by the settings as they are
        self.service = Service("watch config", self._watch)
        sleep = context.clock.sleep
        self.hearing = Service("hear reloads", self._hear, longest=_LONGEST_BACKOFF_SECONDS, sleep=sleep)

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
            self._unrouted = self._orchestrator is not None
            self._changed()
            await self._context.backend.append(Event(EventKind.CONFIG_RELOADED, now, data={"path": fresh.path}))
        await self._route_again()
        hit("reloader.reloaded")
        return fresh

    async def reload_fleet(self) -> Settings:
        """As `reload`; then whoever shares our backend is asked to do the same."""
        fresh = await self.reload()
        if self._context.bridge is not None:
            await self._context.bridge.ask_reload()
        return fresh

    async def _route_again(self) -> None:
        if self._unrouted and self._orchestrator is not None:
            await self._orchestrator.reroute()
            self._unrouted = False
            self._changed()

    def _refuse_fixed(self, fresh: Settings) -> None:
        for name in FIXED:
            if getattr(fresh, name) != getattr(self._context.settings, name):
                log.warning("%s: a change of %s takes effect at the next start", self._path, name)

    async def _watch(self) -> None:
        await self._route_again()
        folder = self._path.parent
        target = str(self._path)

        def ours(_: Change, path: str) -> bool:
            return path == target

        async for _ in awatch(folder, watch_filter=ours, recursive=False, step=50, debounce=400):
            await self._try()

    async def _hear(self) -> None:
        bridge = self._context.bridge
        assert bridge is not None
        await self._route_again()
        while True:
            await bridge.reload_asked()
            await self._try()

    async def _try(self) -> None:
        """Raises `BackendError`; then what is left to do is done when the service begins anew."""
        try:
            await self.reload()
        except BackendError:
            raise
        except QuarterdeckError:
            pass  # said already; the last good settings stay

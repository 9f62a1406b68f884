"""Starts and stops the engine's parts in the right order; one process, one worker, all roles."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass

from lite import __version__
from lite.aio.probe import hit
from lite.aio.service import Service, ServiceHealth
from lite.engine.context import Context
from lite.engine.dispatcher import SHUTDOWN, Dispatcher
from lite.engine.orchestrator import Orchestrator
from lite.engine.registry import Registry
from lite.engine.reloader import Reloader
from lite.engine.rescuer import Rescuer
from lite.engine.sessions import Sessions
from lite.errors import BackendError
from lite.home import config_for
from lite.terminal.packets import PROTOCOL

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SupervisorInfo:
    """What `qd up` and `qd doctor` say of a supervisor. Times are ms."""

    pid: int
    home: str
    version: str
    protocol: int
    worker: str
    backend: str
    started_at: int
    services: Sequence[ServiceHealth]
    sessions: int
    slots: int
    ready: bool
    stopping: bool
    config_path: str
    config_error: str


class Supervisor:
    """`alone`: this process is the only one on its backend (SQLite under the home's lock)."""

    def __init__(self, context: Context, *, alone: bool = True) -> None:
        self.context = context
        self.sessions = Sessions()
        self.dispatcher = Dispatcher(context, self.sessions, alone=alone)
        self.orchestrator = Orchestrator(context, self.dispatcher.wake)
        self.registry = Registry(context, self.sessions)
        self.rescuer = Rescuer(context, self.sessions, self.dispatcher, alone=alone)
        self.reloader = Reloader(context, self.orchestrator, config_for(context.home), self.dispatcher.wake)
        self.ready = False
        self.stop_asked: asyncio.Future[bool] | None = None  # result: keep sessions?
        self.started_at = 0

    def __repr__(self) -> str:
        return f"<Supervisor {self.context.worker} {'ready' if self.ready else 'not ready'} {self.dispatcher!r}>"

    @property
    def services(self) -> tuple[Service, ...]:
        return (
            self.orchestrator.service,
            self.dispatcher.service,
            self.registry.service,
            self.rescuer.service,
            self.reloader.service,
        )

    async def start(self) -> None:
        """Open everything, recover what an earlier supervisor left, then claim. Raises what `open` raises."""
        context = self.context
        self.started_at = context.clock.now()
        self.stop_asked = asyncio.get_running_loop().create_future()
        await context.backend.open()
        try:
            for executor in context.executors.values():
                await executor.open()
            await self.registry.join()
            hit("supervisor.joined")
            adopted = await self.rescuer.sweep()
            if adopted:
                log.info("took over %d running attempts", adopted)
            await self.orchestrator.reroute()
            for service in self.services:
                await service.start()
        except BaseException:
            await self._close()
            raise
        self.ready = True
        hit("supervisor.ready", adopted=adopted)

    def ask_stop(self, *, keep_sessions: bool) -> None:
        """Let whoever waits for `stop_asked` stop us; the first word counts."""
        if self.stop_asked is not None and not self.stop_asked.done():
            self.stop_asked.set_result(keep_sessions)

    @property
    def stopping(self) -> bool:
        return self.stop_asked is not None and self.stop_asked.done()

    async def stop(self, *, keep_sessions: bool) -> None:
        """Stop claiming; end running attempts (they queue again, reason `shutdown`), or leave them to go on alone."""
        self.ready = False
        self.ask_stop(keep_sessions=keep_sessions)
        await self.dispatcher.drain(None if keep_sessions else SHUTDOWN)
        for service in reversed(self.services):
            await service.stop()
        try:
            await self.registry.leave("stopped")
        except BackendError as error:
            log.warning("not deregistered: %s", error)
        await self._close()

    def info(self) -> SupervisorInfo:
        context = self.context
        return SupervisorInfo(
            pid=os.getpid(),
            home=str(context.home.root),
            version=__version__,
            protocol=PROTOCOL,
            worker=context.worker,
            backend=context.backend.describe(),
            started_at=self.started_at,
            services=tuple(service.health() for service in self.services),
            sessions=len(self.sessions),
            slots=context.settings.slots,
            ready=self.ready,
            stopping=self.stopping,
            config_path=context.settings.path,
            config_error=self.reloader.last_error,
        )

    async def _close(self) -> None:
        for executor in self.context.executors.values():
            await executor.close()
        await self.context.backend.close()

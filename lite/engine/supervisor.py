"""Starts and stops the engine's parts in the right order: those its role asks for."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass

from lite import __version__
from lite.aio.probe import hit
from lite.aio.service import Service, ServiceHealth
from lite.engine.accounts import Accounts
from lite.engine.context import Context
from lite.engine.dispatcher import SHUTDOWN, Dispatcher
from lite.engine.intake import Intake
from lite.engine.orchestrator import Orchestrator
from lite.engine.registry import Registry
from lite.engine.reloader import Reloader
from lite.engine.rescuer import Rescuer
from lite.engine.sessions import Sessions
from lite.engine.staging import StagingKeeper
from lite.engine.submitting import submit_order
from lite.errors import BackendError
from lite.home import config_for
from lite.model.order import Order
from lite.model.task import Task
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
    role: str = "all"
    backend_warnings: Sequence[str] = ()


class Supervisor:
    """`alone`: this process is the only one on its backend (SQLite under the home's lock).

    An orchestrator routes, places, takes in what comes over the bridge, and rescues, but runs nothing and is no worker;
    a worker claims and runs, and looks after its own leases and what it can adopt.
    """

    def __init__(self, context: Context, *, alone: bool = True) -> None:
        self.context = context
        self._alone = alone
        self.sessions = Sessions()
        self.dispatcher = Dispatcher(context, self.sessions, alone=alone)
        self.orchestrator = Orchestrator(context, self.dispatcher.wake)
        self.accounts = Accounts(context, self.dispatcher.wake)
        self.staging = StagingKeeper(context, alone=alone)
        self.registry = Registry(context, self.sessions, self.dispatcher.registered)
        self.rescuer = Rescuer(context, self.sessions, self.dispatcher, alone=alone)
        self.reloader = Reloader(
            context, self.orchestrator if self._orchestrates else None, config_for(context.home), self.dispatcher.wake
        )
        self.intake = Intake(context, context.bridge, self.submit) if context.bridge and self._orchestrates else None
        self.ready = False
        self.stop_asked: asyncio.Future[bool] | None = None  # result: keep sessions?
        self.started_at = 0

    def __repr__(self) -> str:
        return (
            f"<Supervisor {self.context.worker} {self.context.role} {'ready' if self.ready else 'not ready'} "
            f"{self.dispatcher!r}>"
        )

    @property
    def _orchestrates(self) -> bool:
        return self.context.role != "worker"

    @property
    def _works(self) -> bool:
        return self.context.role != "orchestrator"

    @property
    def services(self) -> tuple[Service, ...]:
        """Of this role, in the order they are started in."""
        return (
            *((self.orchestrator.service,) if self._orchestrates else ()),
            *((self.dispatcher.service, self.registry.service) if self._works else ()),
            self.rescuer.service,
            *(() if self._alone else (self.accounts.service,)),
            self.reloader.service,
            *((self.staging.service,) if self._works and self.context.volumes else ()),
            *((self.intake.service,) if self.intake is not None else ()),
            *((self.reloader.hearing,) if self.context.bridge is not None else ()),
        )

    async def start(self) -> None:
        """Open everything, recover what an earlier supervisor left, then claim. Raises what `open` raises."""
        context = self.context
        self.started_at = context.clock.now()
        self.stop_asked = asyncio.get_running_loop().create_future()
        await context.backend.open()
        try:
            await self.accounts.catch_up()
            if self._works:
                for executor in context.executors.values():
                    await executor.open()
                await self.registry.join()
                hit("supervisor.joined")
            adopted = await self.rescuer.adopt()
            if adopted:
                log.info("took over %d running attempts", adopted)
            if self._orchestrates:
                await self.orchestrator.reroute()
            for service in self.services:
                await service.start()
        except BaseException:
            await self._close()
            raise
        self.ready = True
        hit("supervisor.ready", adopted=adopted)

    async def submit(self, order: Order) -> tuple[Task, bool]:
        """See `submit_order`."""
        return await submit_order(self.context, order, self.dispatcher.wake)

    def ask_stop(self, *, keep_sessions: bool) -> None:
        """Let whoever waits for `stop_asked` stop us; the first word counts."""
        if self.stop_asked is not None and not self.stop_asked.done():
            self.stop_asked.set_result(keep_sessions)

    @property
    def stopping(self) -> bool:
        return self.stop_asked is not None and self.stop_asked.done()

    async def stop(self, *, keep_sessions: bool) -> None:
        """Stop claiming; end running attempts (they queue again, reason `shutdown`), or leave them to go on alone. Who
        leaves sessions behind on a shared backend stays registered, silent: its home's next process adopts them."""
        self.ready = False
        self.ask_stop(keep_sessions=keep_sessions)
        last = (self.dispatcher.service, self.registry.service)  # leases are renewed until what holds them has ended
        for service in reversed(self.services):
            if service not in last:
                await service.stop()
        if self._works:
            stays = keep_sessions and not self._alone and len(self.sessions) > 0
            await self.dispatcher.drain(None if keep_sessions else SHUTDOWN)
            await self.registry.service.stop()
            if not stays:
                await self._leave()
        await self._close()

    async def _leave(self) -> None:
        try:
            await self.registry.leave("stopped")
        except (BackendError, TimeoutError) as error:
            log.warning("not deregistered: %s", error)

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
            role=context.role,
            backend_warnings=(*context.backend.warnings(), *context.notes, *self._problems()),
        )

    def _problems(self) -> Sequence[str]:
        """Why executors that are configured are not offered."""
        found = (executor.capabilities().problem for executor in self.context.executors.values())
        return [problem for problem in found if problem] if self._works else []

    async def _close(self) -> None:
        if self._works:
            for executor in self.context.executors.values():
                await executor.close()
        if self.context.bridge is not None:
            await self.context.bridge.close()
        await self.context.backend.close()

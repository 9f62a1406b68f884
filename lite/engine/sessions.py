"""The table of live attempts of this process, their activity, and the tickets to watch them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lite.errors import SessionRefused
from lite.model.session import Status, session_id

if TYPE_CHECKING:
    from lite.engine.runner import Runner
    from lite.model.task import Lease

_TICKET_SECONDS = 30.0
_BACKLOG = 1000


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right to open one stream of one session, once and soon."""

    session: str
    control: bool
    expires: float  # monotonic seconds
    worker: str = ""  # the other one that has the session


class Sessions:
    """Runners by task. Watchers of activity each get a bounded queue; a slow one misses changes, never blocks."""

    def __init__(self) -> None:
        self._by_task: dict[str, Runner] = {}
        self._watchers: set[asyncio.Queue[tuple[str, Status]]] = set()
        self._tickets: dict[str, Ticket] = {}
        self._finishing: set[Runner] = set()
        self.fenced_writes = 0  # that came too late and were refused, for the metrics
        self.on_free: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return len(self._by_task)

    def __repr__(self) -> str:
        return f"<Sessions {sorted(self._by_task)}>"

    def add(self, runner: Runner) -> None:
        self._by_task[runner.task.id] = runner

    def remove(self, runner: Runner) -> None:
        if self._by_task.get(runner.task.id) is runner:
            del self._by_task[runner.task.id]
        self._finishing.discard(runner)
        self.on_free()

    def finishing(self, runner: Runner, yes: bool) -> None:
        """Its outcome is just being written: a claim that is written after it may count on the place."""
        if yes:
            self._finishing.add(runner)
            self.on_free()
        else:
            self._finishing.discard(runner)

    def is_finishing(self, runner: Runner) -> bool:
        return runner in self._finishing

    def taken(self) -> int:
        """Places in use."""
        return len(self._by_task) - len(self._finishing)

    def all(self) -> list[Runner]:
        return list(self._by_task.values())

    def of_task(self, task: str) -> Runner | None:
        return self._by_task.get(task)

    def of_session(self, session: str) -> Runner | None:
        task, _, _ = session.rpartition("-")
        runner = self._by_task.get(task)
        return runner if runner and session_id(task, runner.lease.attempt) == session else None

    def leases(self) -> list[Lease]:
        """To be renewed."""
        return [runner.lease for runner in self._by_task.values() if not runner.lost]

    def publish(self, task: str, status: Status) -> None:
        for queue in self._watchers:
            if not queue.full():
                queue.put_nowait((task, status))

    async def watch(self) -> AsyncIterator[tuple[str, Status]]:
        """Changes of activity from now on."""
        queue: asyncio.Queue[tuple[str, Status]] = asyncio.Queue(_BACKLOG)
        self._watchers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._watchers.discard(queue)

    def issue(self, session: str, control: bool, now: float, worker: str = "") -> str:
        self._tickets = {key: one for key, one in self._tickets.items() if one.expires > now}
        ticket = secrets.token_urlsafe(24)
        self._tickets[ticket] = Ticket(session, control, now + _TICKET_SECONDS, worker)
        return ticket

    def redeem(self, ticket: str, now: float) -> Ticket:
        """Use up a ticket. Raises `SessionRefused`."""
        found = self._tickets.pop(ticket, None)
        if found is None or found.expires <= now:
            raise SessionRefused("this ticket is not valid", hint="a ticket serves once, within 30 s; ask for another")
        return found

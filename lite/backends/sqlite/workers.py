"""The verbs on workers, run by the writer thread. There are few: all are kept in the store's memory too."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from lite.backends.sqlite.gate import Gate
from lite.backends.sqlite.statements import SQL
from lite.backends.sqlite.store import Store
from lite.backends.texts import worker_to_text
from lite.errors import NotFound
from lite.model.event import Event, EventKind
from lite.model.task import Task
from lite.model.worker import Worker


class WorkerVerbs:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._gate = Gate(store)

    def register(self, worker: Worker, now: int) -> Worker:
        known = self._store.workers.get(worker.id)
        if known is None:
            row = replace(worker, registered_at=now, heartbeat_at=now, cordoned=False, running=())
            data = {"node": worker.node, "slots": worker.slots}
            self._store.log(Event(EventKind.WORKER_JOINED, now, worker=worker.id, data=data))
        else:
            row = replace(
                worker, registered_at=known.registered_at, heartbeat_at=now, cordoned=known.cordoned, running=()
            )
        return self._put(row)

    def heartbeat(self, worker: str, now: int, load: float) -> Worker:
        return self._put(replace(self._worker(worker), heartbeat_at=now, load=load))

    def deregister(self, worker: str, now: int, reason: str) -> None:
        store = self._store
        if store.workers.pop(worker, None) is None:
            return
        store.execute(SQL["drop_worker"], (worker,))
        for (task,) in store.execute(SQL["assigned_to"], (worker,)).fetchall():
            free = replace(store.task(task), assigned="", assigned_why="")
            store.still_queued(free, self._gate.blocked(free))
            self._gate.settle_lane(free)
        store.log(Event(EventKind.WORKER_LEFT, now, worker=worker, data={"reason": reason}))

    def cordon(self, worker: str, on: bool, now: int) -> Worker:
        found = self._worker(worker)
        if found.cordoned is on:
            return busy(found, self._store.running.values())
        self._store.log(Event(EventKind.WORKER_CORDONED, now, worker=worker, data={"on": on}))
        return self._put(replace(found, cordoned=on))

    def _worker(self, worker: str) -> Worker:
        found = self._store.workers.get(worker)
        if found is None:
            raise NotFound(f"no worker {worker}")
        return found

    def _put(self, worker: Worker) -> Worker:
        self._store.execute(SQL["put_worker"], (worker.id, worker_to_text(worker)))
        self._store.workers[worker.id] = worker
        return busy(worker, self._store.running.values())


def busy(worker: Worker, running: Iterable[Task]) -> Worker:
    """The worker with the ids of what it runs, in order of submission."""
    mine = sorted((task.seq, task.id) for task in running if task.worker == worker.id)
    return replace(worker, running=tuple(task for _, task in mine))

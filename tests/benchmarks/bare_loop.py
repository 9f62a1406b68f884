"""The physical limit: a bare group-commit loop on the same disk, three durable steps a task, nothing else."""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

Step = Callable[[sqlite3.Connection], Any]


class BareStore:
    """One writer thread; what arrives during a commit goes into the next transaction."""

    def __init__(self, path: Path, synchronous: str) -> None:
        self._queue: queue.SimpleQueue[tuple[Step, Future[Any]] | None] = queue.SimpleQueue()
        self._path, self._synchronous = path, synchronous
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def do(self, step: Step) -> Any:
        future: Future[Any] = Future()
        self._queue.put((step, future))
        return future.result()

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        db = sqlite3.connect(self._path, isolation_level=None)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute(f"PRAGMA synchronous={self._synchronous}")
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, state TEXT, body TEXT)")
        while (first := self._queue.get()) is not None:
            batch = [first]
            while not self._queue.empty():
                more = self._queue.get()
                if more is None:
                    self._queue.put(None)
                    break
                batch.append(more)
            db.execute("BEGIN IMMEDIATE")
            results = [step(db) for step, _ in batch]
            db.execute("COMMIT")
            for (_, future), result in zip(batch, results, strict=True):
                future.set_result(result)
        db.close()


def bare_rate(folder: Path, submitters: int, tasks: int, synchronous: str = "FULL") -> float:
    """Tasks a second through submit, claim and complete. As in the engine nobody waits for a task's end before he
    submits the next: a runner beside each submitter takes it from there."""
    store = BareStore(folder / f"bare-{time.monotonic_ns()}.db", synchronous)

    def one(db: sqlite3.Connection) -> int:
        return int(db.execute("INSERT INTO t (state, body) VALUES ('queued', ?)", ("x" * 200,)).lastrowid or 0)

    submitted: queue.SimpleQueue[int] = queue.SimpleQueue()
    each = tasks // submitters

    def submit() -> None:
        for _ in range(each):
            submitted.put(store.do(one))

    def run() -> None:
        for _ in range(each):
            key = submitted.get()
            store.do(lambda db, key=key: db.execute("UPDATE t SET state='running' WHERE id=?", (key,)))
            store.do(lambda db, key=key: db.execute("UPDATE t SET state='done' WHERE id=?", (key,)))

    threads = [threading.Thread(target=target) for _ in range(submitters) for target in (submit, run)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - begun
    store.close()
    return each * submitters / elapsed

"""What only SQLite promises: group commit, durability, readers that see every commit."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lite.aio import probe
from lite.aio.tasks import spawn
from lite.backends.sqlite import SqliteBackend
from lite.backends.sqlite.statements import SQL
from lite.errors import BackendError, NotFound
from lite.model.run import Submission
from lite.model.task import ClaimRequest, State, TaskQuery
from tests.support.backends import Desk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "q.db"


@pytest.fixture
async def backend(path: Path) -> AsyncIterator[SqliteBackend]:
    backend = SqliteBackend(path)
    await backend.open()
    yield backend
    await backend.close()


@pytest.fixture
async def desk(backend: SqliteBackend) -> Desk:
    desk = Desk(backend)
    await desk.join()
    return desk


async def test_what_arrives_together_is_committed_together(desk: Desk, backend: SqliteBackend) -> None:
    sizes: list[int] = []
    undo = probe.watch("sqlite.committed", lambda data: sizes.append(data["verbs"]))
    await asyncio.gather(*(desk.add() for _ in range(200)))
    undo()
    assert sum(sizes) == 200
    assert len(sizes) <= 50
    assert (await desk.all_tasks())[-1].seq == 200


async def test_a_hundred_callers_never_share_a_task(desk: Desk) -> None:
    specs = [desk.spec() for _ in range(300)]

    async def work(number: int) -> list[str]:
        done = []
        for spec in specs[number * 3 : number * 3 + 3]:
            await desk.submit(spec)
            claim = await desk.take()
            await desk.finish(claim)
            done.append(claim.task.id)
        return done

    done = [one for taken in await asyncio.gather(*(work(number) for number in range(100))) for one in taken]
    assert sorted(done) == sorted(spec.id for spec in specs)
    assert {task.state for task in await desk.all_tasks()} == {State.SUCCEEDED}


async def test_refused_verbs_disturb_nobody_in_their_batch(desk: Desk, backend: SqliteBackend) -> None:
    before = await desk.cursor()
    good = [desk.spec() for _ in range(4)]
    bad = desk.spec(needs=("nobody",))
    results = await asyncio.gather(
        desk.submit(good[0]),
        desk.submit(bad),
        desk.submit(good[1]),
        backend.cancel("nothing", now=desk.now),
        desk.submit(*good[2:]),
        return_exceptions=True,
    )
    assert [type(result) for result in results if isinstance(result, BaseException)] == [NotFound, NotFound]
    assert [task.id for task in await desk.all_tasks()] == [spec.id for spec in good]
    assert [event.task for event in await desk.events(before)] == [spec.id for spec in good]
    assert [event.cursor for event in await desk.events(before)] == list(range(before + 1, before + 5))


async def test_a_verb_that_fails_after_writing_is_undone_alone(desk: Desk, backend: SqliteBackend) -> None:
    """Nothing of it stays, in the file or in the caches, and the others of its batch happen."""
    before = await desk.cursor()
    specs = [desk.spec(run_at=desk.now + 5) for _ in range(3)]

    def broken(verbs: Any) -> None:
        verbs.tasks.submit(Submission((specs[1],)), desk.now)
        raise ZeroDivisionError

    results = await asyncio.gather(
        desk.submit(specs[0]), backend.writer.call(broken), desk.submit(specs[2]), return_exceptions=True
    )
    assert isinstance(results[1], ZeroDivisionError)
    assert [task.id for task in await desk.all_tasks()] == [specs[0].id, specs[2].id]
    assert [event.cursor for event in await desk.events(before)] == [before + 1, before + 2]
    with pytest.raises(ZeroDivisionError):
        await backend.writer.call(broken)
    again = await desk.submit(specs[1])
    assert (again.created, again.tasks[0].seq) == ((True,), 3)


async def test_a_row_that_cannot_be_written_fails_its_own_verb(desk: Desk, backend: SqliteBackend) -> None:
    """Rows are written late, in another verb's turn: still nobody else is refused."""
    bad, good = desk.spec("bad", key="\ud800"), [desk.spec(key="a"), desk.spec(key="b")]
    results = await asyncio.gather(desk.submit(good[0]), desk.submit(bad), desk.submit(good[1]), return_exceptions=True)
    assert [isinstance(result, BaseException) for result in results] == [False, True, False]
    assert [task.id for task in await desk.all_tasks()] == [spec.id for spec in good]


async def test_no_look_is_needed_where_nothing_is_due_or_to_be_placed(desk: Desk, backend: SqliteBackend) -> None:
    """The heads say so, and say otherwise as soon as there is something."""
    await desk.add("plain")
    await desk.take()
    assert (backend._heads.timed, backend._heads.unplaced, backend._heads.assigned) == (False, False, False)
    await desk.submit(desk.spec("later", run_at=desk.now + 50), desk.spec("placed", selector={"zone": "a"}))
    assert (backend._heads.timed, backend._heads.unplaced) == (True, True)
    assert await backend.next_due(desk.now) == desk.now + 50
    assert [task.spec.name for task in await backend.unplaced(now=desk.now, limit=9)] == ["placed"]


async def test_another_program_that_holds_the_file_is_told_of(path: Path, desk: Desk, backend: SqliteBackend) -> None:
    await backend.writer.call(lambda verbs: verbs.store.execute("PRAGMA busy_timeout = 50").fetchall())
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(BackendError, match="another program"):
            await desk.add("refused")
    finally:
        other.rollback()
        other.close()
    await desk.add("accepted")
    assert await desk.states() == {"accepted": "queued"}


async def test_readers_see_what_was_acknowledged_and_cannot_write(desk: Desk, backend: SqliteBackend) -> None:
    for _ in range(20):
        task = await desk.add()
        assert await backend.get(task.id) == task
    with pytest.raises(BackendError):
        await backend._readers.fetch(("DELETE FROM tasks", ()))
    assert len(await desk.all_tasks()) == 20


async def test_readers_never_checkpoint(path: Path, desk: Desk, backend: SqliteBackend) -> None:
    for _ in range(20):
        await desk.add()
    wal = path.with_name(f"{path.name}-wal")
    file, log = path.read_bytes(), wal.stat().st_size
    for _ in range(5):
        await desk.all_tasks()
    await backend._readers.close()
    assert (path.read_bytes(), wal.stat().st_size) == (file, log)
    await backend._readers.open()
    assert len(await desk.all_tasks()) == 20


async def test_everything_is_there_after_closing(path: Path, desk: Desk, backend: SqliteBackend) -> None:
    a = desk.spec("a", run="run", on_failure="fail", env={"A": "b"})
    await desk.plan(a, desk.spec("b", run="run", needs=(a.id,)), desk.spec("c", run="run", lane="l", touches=("/x",)))
    await desk.run_next("failed", detail="bad", exit_code=1)
    claim = await desk.take()
    before = (await desk.all_tasks(), await backend.workers(), await desk.events(), await desk.cursor())
    await backend.close()
    fresh = SqliteBackend(path)
    await fresh.open()
    desk.backend = fresh
    assert (await desk.all_tasks(), await fresh.workers(), await desk.events(), await desk.cursor()) == before
    assert (await desk.finish(claim)).state is State.SUCCEEDED
    await fresh.close()


async def test_a_closed_database_says_so(path: Path) -> None:
    backend = SqliteBackend(path)
    with pytest.raises(BackendError):
        await Desk(backend).add()
    await backend.open()
    looks = [spawn(backend.tasks(TaskQuery())) for _ in range(10)]
    await asyncio.sleep(0)
    await backend.close()
    assert await asyncio.gather(*looks) == [[]] * 10
    with pytest.raises(BackendError):
        await Desk(backend).add()
    with pytest.raises(BackendError):
        await backend.tasks(TaskQuery())


_LOAD = """
import asyncio, sys
from lite.backends.sqlite import SqliteBackend
from tests.support.backends import Desk, task_id

async def main(path, synchronous):
    backend = SqliteBackend(path, synchronous=synchronous)
    await backend.open()
    desk = Desk(backend)
    await desk.join()

    async def caller(number):
        for count in range(100_000):
            spec = desk.spec(id=task_id(number * 1_000_000 + count))
            await desk.submit(spec)
            sys.stdout.write(f"submitted {spec.id}\\n")
            claim = await desk.take()
            await desk.finish(claim)
            sys.stdout.write(f"ended {claim.task.id}\\n")
            sys.stdout.flush()

    await asyncio.gather(*(caller(number) for number in range(1, 11)))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("synchronous", ["full", "normal"])
async def test_killed_in_mid_load_nothing_acknowledged_is_lost(path: Path, synchronous: str) -> None:
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", _LOAD, str(path), synchronous], stdout=subprocess.PIPE, cwd=root, env=dict(os.environ)
    )
    assert process.stdout is not None
    told = b""
    try:
        while told.count(b"ended") < 300:
            ready, _, _ = select.select([process.stdout], [], [], 60)
            assert ready, "no progress for a minute"
            chunk = os.read(process.stdout.fileno(), 65536)
            assert chunk, "the load ended by itself"
            told += chunk
        process.send_signal(signal.SIGKILL)
        told += process.stdout.read()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    backend = SqliteBackend(path)
    await backend.open()
    tasks = {task.id: task for task in await backend.tasks(TaskQuery())}
    events = await backend.events(limit=1_000_000)
    await backend.close()
    for line in told.decode().splitlines(keepends=True):
        if line.endswith("\n"):
            what, task = line.split()
            assert task in tasks
            if what == "ended":
                assert tasks[task].state is State.SUCCEEDED
    assert [event.cursor for event in events] == list(range(1, len(events) + 1))
    ended = [event.task for event in events if event.kind == "task.succeeded"]
    assert sorted(ended) == sorted(task.id for task in tasks.values() if task.state is State.SUCCEEDED)


async def test_a_claim_is_a_scan_of_the_ready_index(desk: Desk, backend: SqliteBackend) -> None:
    def plan(verbs: Any) -> str:
        rows = verbs.store.execute(f"EXPLAIN QUERY PLAN {SQL['ready']}", ("dev", "w1")).fetchall()
        return " / ".join(row[3] for row in rows)

    told = await backend.writer.call(plan)
    assert "tasks_ready" in told
    assert "TEMP B-TREE" not in told


async def test_a_long_queue_of_blocked_work_costs_a_claim_nothing(desk: Desk, backend: SqliteBackend) -> None:
    """Counted in steps of SQLite's machine, not in time."""
    first = desk.spec("first", agent="other")
    blocked = [desk.spec(needs=(first.id,), priority=5) for _ in range(500)]
    delayed = [desk.spec(priority=5, run_at=desk.now + 1_000) for _ in range(500)]
    await desk.submit(first, *blocked, *delayed, desk.spec("free"))
    ticks = 0

    def counted(verbs: Any) -> list[str]:
        nonlocal ticks

        def tick() -> int:
            nonlocal ticks
            ticks += 1
            return 0

        verbs.store.connection.set_progress_handler(tick, 10)
        claims = verbs.tasks.claim(ClaimRequest("w1", 5, {"dev": None}, 1), desk.now)
        verbs.store.connection.set_progress_handler(None, 0)
        return [claim.task.spec.name for claim in claims]

    assert await backend.writer.call(counted) == ["free"]
    assert ticks < 100

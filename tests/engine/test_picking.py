"""A pod that finds no place leads an `auto` task home; one that failed by itself is tried in a pod again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lite.backends.memory import MemoryBackend
from lite.engine import picking
from lite.errors import InvalidTask
from lite.executors.fake import Behaviour, FakeExecutor
from lite.model.session import ExecutorCapabilities
from lite.model.task import Outcome, OutcomeKind, Reason
from tests.support.engines import SETTINGS, Engine


class Named(FakeExecutor):
    """A fake of another name, which may have a problem."""

    problem = ""

    def capabilities(self) -> ExecutorCapabilities:
        return replace(super().capabilities(), problem=self.problem)


async def engine_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pods: Behaviour | list[Behaviour], executor: str = "auto"
) -> tuple[Engine, Named, Named]:
    monkeypatch.setattr(picking, "machine_load", lambda: 5.0)
    engine = Engine(MemoryBackend(), tmp_path, {"one": Behaviour()}, replace(SETTINGS, executor=executor))
    made = []
    for name, script in (("local", {"one": Behaviour()}), ("kubernetes", {"one": pods})):
        one = Named(engine.world, script, name_of=engine._name_of)
        one.name = name
        made.append(one)
    engine.context.executors = {one.name: one for one in made} | {"inline": engine.context.executors["inline"]}
    await engine.start()
    return engine, made[0], made[1]


def ended(kind: OutcomeKind, reason: str) -> Behaviour:
    return Behaviour(Outcome(kind, reason, "words"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (ended(OutcomeKind.UNEXECUTABLE, "unschedulable"), "local"),
        (ended(OutcomeKind.UNEXECUTABLE, "quota"), "local"),
        (ended(OutcomeKind.UNEXECUTABLE, "node-lost"), "kubernetes"),
        (ended(OutcomeKind.FAILED, "exit"), "kubernetes"),
    ],
)
async def test_the_second_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: Behaviour, second: str
) -> None:
    engine, _, _ = await engine_with(tmp_path, monkeypatch, [first, Behaviour()])
    seen = []
    original = engine.context.backend.record

    async def record(lease, progress, *, now):  # type: ignore[no-untyped-def]
        if progress.handle:
            seen.append(progress.handle.partition(":")[0])
        return await original(lease, progress, now=now)

    monkeypatch.setattr(engine.context.backend, "record", record)
    await engine.submit("one", retries=1)
    await engine.until_states(one="succeeded")
    assert seen == ["kubernetes", second]
    await engine.close()


async def test_what_no_cluster_would_take_of_a_task_is_its_own_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = Behaviour(start_fails=InvalidTask("no node can have it", place="selector"))
    engine, _, _ = await engine_with(tmp_path, monkeypatch, refused)
    await engine.submit("one")
    await engine.until_states(one="failed")
    task = await engine.task("one")
    assert (task.reason, task.detail, task.attempt, task.faults) == (
        Reason.LAUNCH,
        "selector: no node can have it",
        1,
        0,
    )
    await engine.close()


async def test_an_executor_with_a_problem_is_not_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, _, pods = await engine_with(tmp_path, monkeypatch, Behaviour())
    (me,) = await engine.context.backend.workers()
    offered = me.executors
    pods.problem = "the API server does not answer"
    await engine.clock.advance(10)
    (me,) = await engine.context.backend.workers()
    assert set(offered) - set(me.executors) == {"kubernetes"}
    assert pods.problem in engine.supervisor.info().backend_warnings
    await engine.close()

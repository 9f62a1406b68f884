"""One attempt and what follows from it: retries, faults, timeouts, cancels, waiting."""

from __future__ import annotations

from lite.errors import ExecutorUnavailable
from lite.executors.fake import Behaviour
from lite.model.session import Activity
from lite.model.task import MAX_FAULTS, Outcome, OutcomeKind, Reason, State, TaskQuery
from tests.engine.conftest import Make
from tests.support.engines import Engine

FAILS = Behaviour(Outcome(OutcomeKind.FAILED, Reason.EXIT, exit_code=3))
HANGS = Behaviour(hangs=True)


async def test_from_submission_to_success(make: Make) -> None:
    engine = await make({"a": Behaviour(seconds=2, output="done")})
    await engine.submit("a")
    await engine.until_started("a")
    await engine.until_states(a="succeeded")
    task = await engine.task("a")
    assert (task.attempt, task.output, task.exit_code) == (1, "done", 0)
    assert task.started_at is not None
    assert task.ended_at is not None
    assert task.ended_at - task.started_at >= 2000
    assert await engine.history("a") == ["task.submitted", "task.claimed", "task.started", "task.succeeded"]
    assert not engine.world.sessions, "the session's residue is removed"


async def test_own_failures_are_retried_with_back_off(make: Make) -> None:
    engine = await make({"a": [FAILS, FAILS, Behaviour()]})
    begun = engine.clock.now()
    await engine.submit("a", retries=2)
    await engine.until_states(a="succeeded")
    task = await engine.task("a")
    assert (task.attempt, task.failures, task.faults) == (3, 2, 0)
    assert engine.clock.now() - begun >= 1000 + 2000


async def test_a_task_out_of_retries_has_failed(make: Make) -> None:
    engine = await make({"a": FAILS})
    await engine.submit("a", retries=1)
    await engine.until_states(a="failed")
    task = await engine.task("a")
    assert (task.attempt, task.failures, task.exit_code, task.reason) == (2, 2, 3, "exit")


async def test_faults_of_the_infrastructure_never_use_up_retries(make: Make) -> None:
    engine = await make({"a": [Behaviour(start_fails="no room"), Behaviour(start_fails="no room"), Behaviour()]})
    await engine.submit("a", retries=0)
    await engine.until_states(a="succeeded")
    task = await engine.task("a")
    assert (task.attempt, task.failures, task.faults) == (3, 0, 2)


async def test_too_many_faults_are_poison(make: Make) -> None:
    engine = await make({"a": Behaviour(start_fails="no room")})
    await engine.submit("a")
    await engine.until_states(a="failed", step=1.0)
    task = await engine.task("a")
    assert (task.reason, task.faults) == ("poison", MAX_FAULTS)
    assert [one.id for one in await engine.context.backend.tasks(TaskQuery(dead=True))] == [task.id]


async def test_the_timeout_ends_the_attempt(make: Make) -> None:
    engine = await make({"a": HANGS})
    await engine.submit("a", timeout_ms=5000)
    begun = engine.clock.now()
    await engine.until_states(a="failed")
    assert (await engine.task("a")).reason == "timeout"
    assert 5000 <= engine.clock.now() - begun <= 6000


async def test_silence_ends_the_attempt_but_waiting_for_a_person_does_not(make: Make) -> None:
    asks = ((1.0, Activity.WAITING, "Which one?"), (60.0, Activity.WORKING, ""))
    engine = await make({"a": Behaviour(hangs=True, statuses=asks), "b": HANGS})
    begun = engine.clock.now()
    await engine.submit("a", idle_timeout_ms=10_000)
    await engine.submit("b", idle_timeout_ms=10_000)
    await engine.until_states(b="failed")
    assert engine.clock.now() - begun <= 12_000
    waiting = (await engine.task("a")).waiting
    assert waiting is not None
    assert waiting.text == "Which one?"
    await engine.until_states(a="failed")
    assert (await engine.task("a")).reason == "idle-timeout"
    assert engine.clock.now() - begun >= 70_000
    history = await engine.history("a")
    assert history.index("session.waiting") < history.index("session.answered")


async def test_cancel_stops_a_running_program_and_waits_for_its_end(make: Make) -> None:
    engine = await make({"a": Behaviour(hangs=True, stubborn=2.0)})
    task = await engine.submit("a")
    await engine.until_started("a")
    await engine.operations.cancel(task.id)
    await engine.operations.cancel(task.id)
    assert (await engine.task("a")).state is State.RUNNING, "not before the program has ended"
    await engine.until_states(a="cancelled")
    assert [verb for verb, _, _ in engine.executor.calls].count("stop") == 1
    assert (await engine.history("a")).count("task.cancelled") == 1


async def test_cancel_from_elsewhere_arrives_with_the_renewal(make: Make) -> None:
    engine = await make({"a": HANGS})
    task = await engine.submit("a")
    await engine.until_started("a")
    await engine.context.backend.cancel(task.id, now=engine.clock.now())
    await engine.until_states(a="cancelled")


async def test_a_lost_lease_stops_the_program_and_writes_nothing(make: Make) -> None:
    engine = await make({"a": HANGS})
    task = await engine.submit("a")
    await engine.until_started("a")
    lease = (await engine.task("a")).lease
    assert lease is not None
    taken = await engine.context.backend.rescue(lease, "other", now=engine.clock.now(), ttl_ms=600_000)
    await engine.until(lambda: _stopped(engine))
    row = await engine.task("a")
    assert (row.state, row.lease) == (State.RUNNING, taken.lease)
    assert "task.failed" not in await engine.history("a")
    assert not len(engine.supervisor.sessions)
    assert task.id == row.id


async def _stopped(engine: Engine) -> bool:
    return any(verb == "stop" for verb, _, _ in engine.executor.calls) and not len(engine.supervisor.sessions)


async def test_a_place_that_does_not_answer_is_waited_for_at_no_cost(make: Make) -> None:
    away = Behaviour(start_fails=ExecutorUnavailable("the cluster does not answer"))
    engine = await make({"a": [*[away] * 20, Behaviour()]})
    await engine.submit("a")

    async def parked() -> bool:
        return (await engine.task("a")).attempt == 10

    await engine.until(parked, step=5)

    async def explained() -> bool:
        told = await engine.operations.explain((await engine.task("a")).id)
        return "is parked" in told.summary and "the cluster does not answer" in told.summary

    await engine.until(explained, step=5)
    await engine.until_states(a="succeeded", step=5)
    row = await engine.task("a")
    assert (row.attempt, row.failures, row.faults) == (21, 0, 0)
    assert engine.clock.now() - row.created_at > 20 * 60_000  # asked less and less often

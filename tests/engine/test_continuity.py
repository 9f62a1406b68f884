"""The agent's own conversation: kept at first sight, gone on with whatever happens, and never when it is gone."""

from __future__ import annotations

from dataclasses import replace

from lite.executors.fake import Behaviour
from lite.model.task import Outcome, OutcomeKind, Reason, State
from tests.engine.conftest import Make
from tests.engine.test_parking import resumes
from tests.support.agents import BOT, FAILED, agent, badly, said, well, with_agents
from tests.support.engines import Engine

SETTINGS = with_agents(BOT)
WORKS = replace(agent(said("message", "on it")), hangs=True)
KILLED = Outcome(OutcomeKind.FAILED, Reason.SIGNAL, signal=9)


async def started(make: Make, *behaviours: Behaviour, **fields: int) -> Engine:
    engine = await make({"*": list(behaviours)}, settings=SETTINGS)
    await engine.submit("a", agent="bot", prompt="do it", command=(), **fields)
    return engine


async def next_one(make: Make, engine: Engine) -> Engine:
    following = engine.again()
    make.made.append(following)  # type: ignore[attr-defined]
    return await following.start()


async def test_it_is_stored_at_first_sight_while_the_program_runs(make: Make) -> None:
    engine = await started(make, WORKS)
    await engine.until(lambda: engine.has("a", provider_session="c1"))
    assert (await engine.task("a")).state is State.RUNNING


async def test_after_a_crash_of_the_supervisor_that_took_the_session_with_it(make: Make) -> None:
    engine = await started(make, replace(WORKS, lost_on_recover=True), well())
    await engine.until(lambda: engine.has("a", provider_session="c1"))
    await engine.crash()
    second = await next_one(make, engine)
    await second.until_states(a="succeeded")
    assert (resumes(engine), resumes(second)) == ([""], ["c1"])
    assert (await second.task("a")).failures == 0


async def test_a_session_that_outlives_its_supervisor_is_gone_on_with_and_not_started_again(make: Make) -> None:
    engine = await started(make, replace(well("c2"), seconds=120))
    await engine.until(lambda: engine.has("a", provider_session="c2"))
    await engine.crash()
    second = await next_one(make, engine)
    await second.until_states(a="succeeded", step=1.0)
    row = await second.task("a")
    assert (row.attempt, row.provider_session, resumes(second)) == (1, "c2", [])


async def test_after_a_failure_of_its_own(make: Make) -> None:
    engine = await started(make, badly("agent", "gave up"), agent(outcome=KILLED, session="c2"), well("c2"), retries=2)
    await engine.until_states(a="succeeded")
    assert resumes(engine) == ["", "c1", "c2"], "the last one it was in counts"
    assert (await engine.task("a")).failures == 2


async def test_an_attempt_that_says_nothing_of_its_conversation_forgets_nothing(make: Make) -> None:
    engine = await started(make, badly("agent"), agent(session="", outcome=FAILED), well(), retries=2)
    await engine.until_states(a="succeeded")
    assert resumes(engine) == ["", "c1", "c1"]


async def test_never_one_that_is_gone(make: Make) -> None:
    engine = await started(make, badly("agent"), badly("unknown-session"), well("c9"), retries=2)
    await engine.until_states(a="succeeded")
    assert resumes(engine) == ["", "c1", ""]
    assert (await engine.task("a")).provider_session == "c9"


async def test_that_it_is_gone_costs_no_retry(make: Make) -> None:
    """As when the next attempt runs on another machine."""
    later = badly("rate-limit", infrastructure=True)
    engine = await started(make, later, badly("unknown-session"), well("c9"), retries=0)
    await engine.until_states(a="succeeded")
    row = await engine.task("a")
    assert (resumes(engine), row.failures, row.attempt) == (["", "c1", ""], 0, 3)


async def test_who_misses_one_that_nobody_asked_for_has_failed(make: Make) -> None:
    engine = await started(make, badly("unknown-session", session=""), retries=0)
    await engine.until_states(a="failed")
    assert (await engine.task("a")).reason == "unknown-session"


async def test_two_tasks_never_share_one(make: Make) -> None:
    engine = await started(make, badly("agent"), well(), retries=1)
    await engine.until_states(a="succeeded")
    await engine.submit("b", agent="bot", prompt="do it", command=(), retries=0)
    await engine.until(lambda: engine.has("b", attempt=1))
    assert resumes(engine) == ["", "c1", ""]

"""Who runs what, when: slots, caps, delays, placement, reloads, parts that fail."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lite.errors import BackendError, ConfigInvalid, IllegalState, InvalidTask
from lite.executors.fake import Behaviour
from lite.model.settings import Agent, Settings
from lite.model.task import Outcome, State, Task
from tests.engine.conftest import Make
from tests.support.engines import SETTINGS

HANGS = Behaviour(hangs=True)
SHORT = Behaviour(seconds=1)


async def test_never_more_at_once_than_slots_and_every_slot_used(make: Make) -> None:
    engine = await make({"*": SHORT})
    for at in range(12):
        await engine.submit(f"t{at}")
    await engine.until_states(**{f"t{at}": "succeeded" for at in range(12)})
    running = most = 0
    for event in await engine.events():
        running += (event.kind == "task.claimed") - (event.kind == "task.succeeded")
        most = max(most, running)
    assert most == engine.context.settings.slots


async def test_an_agents_cap_holds_in_the_whole_fleet(make: Make) -> None:
    agents = SETTINGS.agents | {"dev": Agent("dev", "shell", slots=1)}
    engine = await make({"*": SHORT}, settings=replace(SETTINGS, agents=agents))
    for at in range(4):
        await engine.submit(f"t{at}", agent="dev")
    await engine.until_states(**{f"t{at}": "succeeded" for at in range(4)})
    running = 0
    for event in await engine.events():
        running += (event.kind == "task.claimed") - (event.kind == "task.succeeded")
        assert running <= 1


async def test_higher_priority_first_then_submission(make: Make) -> None:
    engine = await make({"*": SHORT}, settings=replace(SETTINGS, slots=1))
    await engine.submit("blocker")
    await engine.until_started("blocker")
    for name, priority in (("low", -5), ("a", 0), ("high", 9), ("b", 0)):
        await engine.submit(name, priority=priority)
    await engine.until_states(low="succeeded")
    names = {event.task: event.data["name"] for event in await engine.events() if event.kind == "task.submitted"}
    order = [names[event.task] for event in await engine.events() if event.kind == "task.claimed"]
    assert order == ["blocker", "high", "a", "b", "low"]


async def test_a_delayed_task_starts_when_it_is_due_and_a_nearer_one_is_not_held_up(make: Make) -> None:
    engine = await make()
    begun = engine.clock.now()
    await engine.submit("far", delay_ms=60_000)
    await engine.submit("near", delay_ms=5_000)
    await engine.until_states(near="succeeded")
    assert 5_000 <= engine.clock.now() - begun <= 7_000
    assert (await engine.states())["far"] == "queued"
    await engine.until_states(far="succeeded")
    assert 60_000 <= engine.clock.now() - begun <= 62_000


async def test_a_selector_is_really_enforced_and_explained(make: Make) -> None:
    engine = await make(settings=replace(SETTINGS, labels={"gpu": "1"}))
    fits = await engine.submit("fits", selector={"gpu": "1"})
    waits = await engine.submit("waits", selector={"gpu": "2"})
    await engine.until_states(fits="succeeded")
    for _ in range(40):
        await engine.settle()
        await engine.clock.advance(1)
    assert (await engine.states())["waits"] == "queued"
    told = await engine.operations.explain(waits.id)
    assert "gpu" in told.summary + " ".join(told.facts)
    assert (await engine.task("fits")).attempt == 1
    assert fits.id != waits.id


async def test_cordoned_it_claims_nothing_and_uncordoned_it_goes_on(make: Make) -> None:
    engine = await make()
    await engine.operations.cordon("w1", True)
    await engine.submit("a")
    for _ in range(20):
        await engine.settle()
        await engine.clock.advance(0.5)
    assert (await engine.states())["a"] == "queued"
    assert "cordoned" in (await engine.operations.explain((await engine.task("a")).id)).summary
    await engine.operations.cordon("w1", False)
    await engine.until_states(a="succeeded")


async def test_a_reload_parks_what_lost_its_agent_and_routes_it_again(make: Make) -> None:
    dev = Agent("dev", "shell", roles=("build",))
    with_dev = replace(SETTINGS, agents=SETTINGS.agents | {"dev": dev}, slots=1)
    current: dict[str, Settings] = {"settings": with_dev}
    engine = await make({"blocker": HANGS}, settings=with_dev, load_settings=lambda: current["settings"])
    blocker = await engine.submit("blocker")
    await engine.until_started("blocker")
    await engine.submit("typed", type="build")
    await engine.submit("named", agent="dev")
    other = Agent("other", "shell", roles=("build",))
    current["settings"] = replace(with_dev, agents=SETTINGS.agents | {"other": other})
    await engine.operations.reload()
    assert (await engine.task("typed")).spec.agent == "other"
    parked = await engine.task("named")
    assert (parked.state, parked.reason) == (State.QUEUED, "unroutable")
    assert "dev" in (await engine.operations.explain(parked.id)).summary
    current["settings"] = with_dev
    await engine.operations.reload()
    await engine.operations.cancel(blocker.id)
    await engine.until_states(typed="succeeded", named="succeeded")


async def test_a_broken_config_keeps_the_last_good_one_and_says_so_once(make: Make) -> None:
    def broken() -> Settings:
        raise ConfigInvalid("no", place="quarterdeck.yaml:1:1")

    engine = await make(load_settings=broken)
    for _ in range(2):
        with pytest.raises(ConfigInvalid):
            await engine.operations.reload()
    assert engine.context.settings is SETTINGS
    assert "quarterdeck.yaml:1:1" in engine.operations.supervisor().config_error
    assert [event.kind.value for event in await engine.events()].count("config.rejected") == 1
    await engine.submit("a")
    await engine.until_states(a="succeeded")


async def test_an_outcome_is_written_however_often_the_store_refuses(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await make({"a": SHORT})
    real = engine.context.backend.finish
    refusals = iter(range(4))

    async def refusing(*args: Any, **fields: Any) -> Task:
        if next(refusals, None) is not None:
            raise BackendError("disk full")
        return await real(*args, **fields)

    monkeypatch.setattr(engine.context.backend, "finish", refusing, raising=False)
    await engine.submit("a")
    await engine.until_states(a="succeeded")
    assert (await engine.history("a")).count("task.succeeded") == 1
    assert not len(engine.supervisor.sessions)


async def test_a_claim_loop_that_fails_is_restarted_and_says_so(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = await make()
    real = engine.context.backend.claim
    failures = iter(range(1))

    async def failing(*args: Any, **fields: Any) -> Any:
        if next(failures, None) is not None:
            raise BackendError("gone for a moment")
        return await real(*args, **fields)

    monkeypatch.setattr(engine.context.backend, "claim", failing, raising=False)
    await engine.submit("a")
    await engine.until_states(a="succeeded")
    (health,) = [one for one in engine.operations.supervisor().services if one.name == "dispatch"]
    assert (health.restarts, "gone for a moment" in health.last_error) == (1, True)


async def test_an_output_reaches_the_prompt_the_file_and_the_variable(make: Make) -> None:
    engine = await make({"first": Behaviour(output="forty-two")})
    first = await engine.submit("first")
    await engine.submit("second", needs=(first.id,))
    await engine.until_states(second="succeeded")
    (start,) = [session for verb, session, _ in engine.executor.calls if verb == "start" and first.id not in session]
    assert (engine.home.session(start) / "needs" / "first").read_text() == "forty-two"


async def test_while_it_stops_nothing_new_is_taken(make: Make) -> None:
    engine = await make()
    await engine.operations.shutdown(keep_sessions=True)
    with pytest.raises(IllegalState, match="stopping"):
        await engine.submit("a")


async def test_what_the_provider_refuses_is_refused_at_submit(make: Make) -> None:
    agents = SETTINGS.agents | {"bad": Agent("bad", "scripted", options={"stepz": []})}
    engine = await make(settings=replace(SETTINGS, agents=agents))
    with pytest.raises(InvalidTask, match="bad"):
        await engine.submit("a", agent="bad", command=(), prompt="go")
    assert not await engine.states()


async def test_sending_to_what_does_not_run_is_refused_with_the_reason(make: Make) -> None:
    engine = await make({"a": HANGS, "b": Behaviour(Outcome(SHORT.outcome.kind))})
    task = await engine.submit("a")
    await engine.until_started("a")
    told = await engine.operations.send(task.id, b"x")
    assert (told.result, bool(told.reason)) == ("refused", True)
    await engine.submit("b")
    await engine.until_states(b="succeeded")
    told = await engine.operations.send("b", b"x")
    assert (told.result, told.reason) == ("refused", "the task has succeeded")

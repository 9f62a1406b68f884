"""Letters become tasks, each once, or are set aside with the reason; whatever dies in between."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from lite.aio.probe import hit, reached, watch
from lite.aio.tasks import spawn
from lite.engine.intake import BATCH
from lite.errors import BackendError
from lite.model.run import Submission, Submitted
from lite.model.settings import Agent
from lite.model.task import TaskQuery
from providers.http import HttpProvider
from tests.engine.conftest import Build, Make
from tests.support.bridges import FakeBridge, Office
from tests.support.engines import SETTINGS, Engine
from tests.support.machines import Machines

BROKEN = Agent("broken", "claude", options={"permission_mode": "anything"})


def order(name: str, **fields: Any) -> bytes:
    return json.dumps({"name": name, "command": ["run", name]} | fields).encode()


async def emptied(engine: Engine, office: Office) -> None:
    async def empty() -> bool:
        return not office.letters

    await engine.until(empty)


async def names(engine: Engine) -> list[str]:
    """Of all tasks, in the order of their submission."""
    return [task.spec.name for task in await engine.context.backend.tasks(TaskQuery())]


async def test_letters_sent_before_anybody_was_there_are_run(make: Make) -> None:
    office = Office()
    for at in range(3):
        office.post(order(f"t{at}"))
    engine = await make(bridge=FakeBridge(office))
    await engine.until_states(t0="succeeded", t1="succeeded", t2="succeeded")
    assert (office.letters, office.dead) == ({}, [])
    office.post(order("late"))
    await engine.until_states(late="succeeded")
    assert (engine.operations.metrics()["quarterdeck_letters_taken_total"], office.letters) == (4, {})


async def test_a_letter_says_all_that_a_request_can(make: Make) -> None:
    office = Office()
    said = {"lane": "l", "priority": 7, "retries": 2, "env": {"X": "1"}, "touches": ["/p/**"], "delay_ms": 60_000}
    office.post(order("a", key="k", **said))
    engine = await make(bridge=FakeBridge(office))
    await emptied(engine, office)
    by_letter = (await engine.task("a")).spec
    by_request = (await engine.submit("a", **said | {"touches": ("/p/**",)})).spec
    assert by_letter.key == "k"
    assert by_letter.run_at is not None
    same = {"id": by_request.id, "key": "", "run_at": by_request.run_at}
    assert replace(by_letter, **same) == by_request


async def test_its_task_has_the_letters_key_or_its_own(make: Make) -> None:
    office = Office()
    plain = office.post(order("a"))
    office.post(order("b", key="mine"))
    office.post(order("c", key="mine"))
    engine = await make(bridge=FakeBridge(office))
    await emptied(engine, office)
    assert {task.spec.name: task.spec.key for task in await engine.context.backend.tasks(TaskQuery())} == {
        "a": f"letter:{plain}",
        "b": "mine",
    }
    assert office.dead == []


@pytest.mark.parametrize(
    ("payload", "reasons"),
    [
        (b"", ["usage: the task is not JSON"]),
        (b"\xff{}", ["usage: the task is not UTF-8 (byte 0)"]),
        (b"x" * 10_000_000, ["usage: the task is over 2 MiB", "pass a path"]),
        (b"[" * 5000 + b"]" * 5000, ["usage: the task's JSON is nested too deeply"]),
        (b'{"promt": "x"}', ["usage: promt: unknown key 'promt', did you mean 'prompt'?"]),
        (order("a", priority=1000), ["invalid-task: priority: priority 1000 is not between"]),
        (b'{"prompt": "x", "agent": "nobody"}', ["invalid-task: agent: ", "'nobody'"]),
        (b'{"prompt": "x", "type": "dance"}', ["invalid-task: type: ", "'dance'"]),
        (b'{"prompt": "x", "agent": "shell"}', ["invalid-task: prompt: agent shell (shell) takes a command"]),
        (b'{"prompt": "x", "agent": "broken"}', ["agent broken: options.permission_mode", "one of "]),
        (order("a", needs=["nothing"]), ["not-found: no task 'nothing'", "qd ls"]),
        (order("a", needs=["no\ud800thing"]), ["usage: needs[0]: not valid Unicode"]),
    ],
)
async def test_what_cannot_be_used_is_set_aside_and_stops_no_other(
    make: Make, payload: bytes, reasons: list[str]
) -> None:
    office = Office()
    office.post(order("before"))
    bad = office.post(payload)
    office.post(order("after"))
    settings = replace(SETTINGS, agents=dict(SETTINGS.agents) | {"broken": BROKEN})
    engine = await make(bridge=FakeBridge(office), settings=settings)
    await engine.until_states(before="succeeded", after="succeeded")
    await emptied(engine, office)
    (dead,) = office.dead
    assert (dead.id, dead.payload[:1000], await names(engine)) == (bad, payload[:1000], ["before", "after"])
    for reason in reasons:
        assert reason in dead.reason
    assert engine.operations.metrics()["quarterdeck_letters_refused_total"] == 1


async def test_what_did_not_come_as_a_letter_is_set_aside_as_such(make: Make) -> None:
    office = Office()
    office.post(b'[["prompt", "hi"]]', problem="the entry has no field 'task', but 'prompt'")
    engine = await make(bridge=FakeBridge(office))
    await emptied(engine, office)
    assert office.dead[0].reason == "the entry has no field 'task', but 'prompt'"
    assert office.dead[0].time == engine.clock.now()


async def test_a_mistake_in_a_provider_costs_only_its_letters(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office()
    engine = await make(bridge=FakeBridge(office))

    def validate(self: object, request: object) -> None:
        raise KeyError("oops")

    monkeypatch.setattr(HttpProvider, "validate", validate)
    office.post(b'{"name": "call", "http": {"url": "http://127.0.0.1:1/"}}')
    office.post(order("fine"))
    await engine.until_states(fine="succeeded")
    await emptied(engine, office)
    assert [dead.reason for dead in office.dead] == ["internal error: KeyError"]


async def test_needs_name_what_is_stored_or_what_came_before(make: Make) -> None:
    office = Office()
    engine = await make(bridge=FakeBridge(office))
    first = await engine.submit("first")
    office.post(order("second", needs=[first.id, first.id[:22]]))
    office.post(order("third", needs=["second", "second"]))
    office.post(order("fourth"))
    await engine.until_states(third="succeeded", fourth="succeeded")
    second, third = await engine.task("second"), await engine.task("third")
    assert (second.spec.needs, third.spec.needs) == ((first.id,), (second.id,))


async def test_what_is_taken_together_keeps_its_order(make: Make) -> None:
    office = Office()
    sent = [f"t{at}" for at in range(2 * BATCH)]
    for at, name in enumerate(sent):
        office.post(order(name, lane="one", needs=[sent[at - 1]] if at % 7 == 5 else []))
    engine = await make(bridge=FakeBridge(office))
    await emptied(engine, office)
    assert await names(engine) == sent


async def test_orchestrators_share_and_each_letter_is_one_task(fleet: Build) -> None:
    office = Office()
    machines = fleet()
    for name in ("a", "b", "c"):
        await machines.start(name, "orchestrator", bridge=FakeBridge(office))
    for at in range(3 * BATCH):
        office.post(order(f"t{at}"))
    engine = machines.engines["a"]
    await emptied(engine, office)
    assert sorted(await names(engine)) == sorted(f"t{at}" for at in range(3 * BATCH))
    assert sum(one.supervisor.intake.taken for one in machines.engines.values()) == 3 * BATCH  # type: ignore[union-attr]


async def test_a_worker_takes_in_nothing(fleet: Build) -> None:
    office = Office()
    office.post(order("a"))
    machines = fleet()
    worker = await machines.start("w", "worker", bridge=FakeBridge(office))
    for _ in range(20):
        await worker.settle()
        await worker.clock.advance(0.5)
    assert await names(worker) == []
    await machines.start("o", "orchestrator", bridge=FakeBridge(office))
    await worker.until_states(a="succeeded")


@pytest.mark.parametrize("killed_at", ["intake.stored", "before"])
@pytest.mark.parametrize("heir", ["another", "the same again"])
async def test_killed_before_it_could_settle(fleet: Build, killed_at: str, heir: str) -> None:
    """Whoever takes the letter then gives the same task."""
    office = Office()
    machines = fleet()
    engine = await machines.start("a", "orchestrator", bridge=StuckBridge(office))
    if killed_at == "before":
        hang_submissions(machines)
    waits = spawn(reached("intake.stored" if killed_at != "before" else "test.submitting"))
    office.post(order("once"))
    await waits
    await machines.kill("a")
    assert len(office.letters) == 1
    taken: list[dict[str, Any]] = []
    undo = watch("intake.stored", taken.append)
    machines.backend.__dict__.pop("submit", None)
    if heir == "another":
        office.abandon()
        engine = await machines.start("b", "orchestrator", bridge=FakeBridge(office))
    else:
        engine = Engine(
            machines.backend, engine.home.root, clock=machines.clock, role="orchestrator", alone=False,
            worker="a", bridge=FakeBridge(office),
        )  # fmt: skip
        await engine.start()
    await emptied(engine, office)
    undo()
    assert [one["created"] for one in taken] == [killed_at == "before"]
    assert (await names(engine), office.dead) == (["once"], [])
    if heir != "another":
        await engine.crash()


async def test_refused_on_the_second_try_says_that_there_may_be_a_task(fleet: Build) -> None:
    office = Office()
    machines = fleet()
    with_dev = replace(SETTINGS, agents=dict(SETTINGS.agents) | {"dev": Agent("dev", "shell")})
    await machines.start("a", "orchestrator", settings=with_dev, bridge=StuckBridge(office))
    waits = spawn(reached("intake.stored"))
    letter = office.post(order("once", agent="dev"))
    await waits
    await machines.kill("a")
    office.abandon()
    engine = await machines.start("b", "orchestrator", bridge=FakeBridge(office))  # it knows no agent dev
    await emptied(engine, office)
    assert f"there may be a task with its key 'letter:{letter}' already" in office.dead[0].reason


async def test_while_the_backend_fails_nothing_is_refused_and_nothing_lost(fleet: Build) -> None:
    office = Office()
    machines = fleet()
    engine = await machines.start("a", "orchestrator", bridge=FakeBridge(office))
    tries = fail_submissions(machines)
    sent = [f"t{at}" for at in range(10)]
    for at, name in enumerate(sent):
        office.post(order(name, needs=[sent[at - 1]] if at % 3 == 2 else []))
    await engine.until(lambda: asyncio.sleep(0, len(tries) > 5))
    assert (len(office.letters), office.dead, await names(engine)) == (10, [], [])
    machines.backend.__dict__.pop("submit")
    await emptied(engine, office)
    assert (await names(engine), office.dead) == (sent, [])


async def test_while_the_bridge_fails_it_tries_again(make: Make) -> None:
    office = Office()
    office.broken = True
    office.post(order("a"))
    engine = await make(bridge=FakeBridge(office))

    async def tried() -> bool:
        return next(one for one in engine.supervisor.info().services if one.name == "intake").restarts > 3

    await engine.until(tried)
    assert await names(engine) == []
    office.broken = False
    await engine.until_states(a="succeeded")
    assert office.letters == {}


async def test_a_lost_acknowledgement_makes_no_second_task(make: Make) -> None:
    office = Office()
    bridge = FakeBridge(office)
    engine = await make(bridge=bridge)
    undo = watch("intake.stored", lambda _: setattr(office, "broken", True))
    waits = spawn(reached("intake.stored"))
    office.post(order("a"))
    await waits
    undo()
    await engine.until_states(a="succeeded")
    assert len(office.letters) == 1
    office.broken = False
    await emptied(engine, office)
    assert await names(engine) == ["a"]


class StuckBridge(FakeBridge):
    """Never gets to settle."""

    async def settle(self, letter: object) -> None:
        await asyncio.Event().wait()


def hang_submissions(machines: Machines) -> None:
    async def submit(submission: Submission, *, now: int) -> Submitted:
        hit("test.submitting")
        await asyncio.Event().wait()
        raise AssertionError

    machines.backend.submit = submit  # type: ignore[method-assign]


def fail_submissions(machines: Machines) -> list[Submission]:
    tries: list[Submission] = []

    async def submit(submission: Submission, *, now: int) -> Submitted:
        tries.append(submission)
        raise BackendError("out of reach")

    machines.backend.submit = submit  # type: ignore[method-assign]
    return tries

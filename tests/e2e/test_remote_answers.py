"""Questions of an agent that a driver converses with on one machine, answered by people at another: exactly the
question that was read is settled, once, also when the way there was broken."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lite.errors import PeerUnavailable
from lite.model.settings import Agent
from lite.model.task import Task, Waiting
from tests.support import acp_agent
from tests.support.stations import SETTINGS, SharedBackend, Station, ended, running

pytestmark = pytest.mark.slow


class Fleet:
    """A, which runs nothing, and B, which runs everything; people sit at A. `notes` is what the agents wrote down."""

    def __init__(self, a: Station, b: Station, notes: Path) -> None:
        self.a, self.b = a, b
        self._notes = notes

    @property
    def backend(self) -> SharedBackend:
        assert isinstance(self.a.context.backend, SharedBackend)
        return self.a.context.backend

    async def asked(self, task: Task, but: str = "") -> Waiting:
        """What it asks, once that is in the store; not the question `but`."""
        await running(self.backend, task)
        cursor = 0
        async with asyncio.timeout(60):
            while (found := (await self.backend.get(task.id)).waiting) is None or found.id == but:
                cursor = await self.backend.wait(cursor)
        return found

    async def answer(self, task: Task, question: Waiting, decision: Any, text: str = "") -> Any:
        """As a client of A's, who does not look at the store first."""

        def call() -> Any:
            with self.a.client() as client:
                return client.answer(task.id, question.id, decision, text, question.hash)

        return await asyncio.to_thread(call)

    async def qd(self, *words: str) -> str:
        """At A: the exit code and what it said."""
        command = (sys.executable, "-m", "lite", "--home", str(self.a.home.root), *words)
        made = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        async with asyncio.timeout(60):
            said, _ = await made.communicate()
        return f"{made.returncode} {said.decode()}"

    def notes(self, what: str) -> list[dict[str, Any]]:
        lines = self._notes.read_text().splitlines()
        return [note for note in map(json.loads, lines) if note["what"] == what]


@pytest.fixture
async def fleet_of(tmp_path: Path) -> AsyncIterator[Callable[[str], Any]]:
    opened: list[Station] = []

    async def make(scenario: str) -> Fleet:
        notes = tmp_path / "notes"
        command = [sys.executable, acp_agent.__file__, scenario, str(notes)]
        agent = Agent("talker", "acp", mode="headless", options={"permissions": "ask", "command": command})
        settings = replace(SETTINGS, agents={**SETTINGS.agents, "talker": agent})
        backend = SharedBackend()
        for name, role in (("a", "orchestrator"), ("b", "all")):
            station = Station(name, backend, role, settings)  # type: ignore[arg-type]
            opened.append(await station.__aenter__())
        return Fleet(opened[0], opened[1], notes)

    yield make
    for station in reversed(opened):
        await station.__aexit__(None, None, None)


@pytest.mark.parametrize(("verb", "taken"), [("approve", "once"), ("deny", "no")])
async def test_the_command_line_at_one_machine_answers_the_agent_at_another(
    fleet_of: Callable[[str], Any], verb: str, taken: str
) -> None:
    fleet = await fleet_of("tool")
    task = await fleet.a.submit_prompt("Do it", "talker")
    question = await fleet.asked(task)
    assert question.kind == "approval"
    assert "Write hello.txt" in question.text
    short = question.id.rpartition("-")[2]
    assert short in await fleet.qd("waiting")
    assert await fleet.qd(verb, short) == "0 delivered\n"
    await ended(fleet.backend, task)
    row = await fleet.backend.get(task.id)
    assert (row.state.value, row.attempt, row.waiting) == ("succeeded", 1, None)
    assert [note["outcomes"] for note in fleet.notes("outcomes")] == [
        {"p0": {"outcome": "selected", "optionId": taken}}
    ]
    assert len(fleet.notes("session/prompt")) == 1
    again = await fleet.qd("approve", short)
    assert again.startswith(f"1 qd: {short}: no question {short!r} is asked (any more)")


async def test_a_stale_answer_from_elsewhere_settles_nothing(fleet_of: Callable[[str], Any]) -> None:
    fleet = await fleet_of("tools")
    task = await fleet.a.submit_prompt("Do it", "talker")
    first = await fleet.asked(task)
    assert (await fleet.answer(task, first, "allow"))["result"] == "delivered"
    second = await fleet.asked(task, but=first.id)
    for decision in ("allow", "deny"):
        said = await fleet.answer(task, first, decision)
        assert (said["result"], said["reason"]) == ("refused", f"it asks something else now: {second.id}")
    forged = await fleet.answer(task, replace(second, hash="another text"), "allow")
    assert (forged["result"], forged["reason"]) == ("refused", "the text of the question has changed")
    assert not fleet.notes("outcomes"), "the agent still waits for the second"
    assert (await fleet.answer(task, second, "deny"))["result"] == "delivered"
    await ended(fleet.backend, task)
    (outcomes,) = (note["outcomes"] for note in fleet.notes("outcomes"))
    assert sorted(one["optionId"] for one in outcomes.values()) == ["no", "once"]


async def test_while_the_machine_is_out_of_reach_the_question_stands(fleet_of: Callable[[str], Any]) -> None:
    fleet = await fleet_of("tool")
    task = await fleet.a.submit_prompt("Do it", "talker")
    question = await fleet.asked(task)
    fleet.b.proxy.refusing = True
    fleet.b.proxy.cut()
    with pytest.raises(PeerUnavailable):
        await fleet.answer(task, question, "allow")
    fleet.b.proxy.refusing = False
    assert (await fleet.backend.get(task.id)).waiting == question
    assert not fleet.notes("outcomes")
    assert (await fleet.answer(task, question, "allow"))["result"] == "delivered"
    await ended(fleet.backend, task)
    (outcomes,) = (note["outcomes"] for note in fleet.notes("outcomes"))
    assert outcomes == {"p0": {"outcome": "selected", "optionId": "once"}}

"""Submission: all or nothing, idempotent by id and by key."""

from __future__ import annotations

import pytest

from lite.errors import InvalidTask, NotFound
from lite.model.run import RunState
from lite.model.task import State
from providers.base import HttpCall
from tests.contracts.backend_base import BackendTopic
from tests.support.backends import Desk


class SubmitTopic(BackendTopic):
    async def test_a_submitted_task_is_queued_and_comes_back_as_it_was(self, desk: Desk) -> None:
        spec = desk.spec(
            "full",
            mode="interactive",
            prompt="añ\n\x00'\"",
            command=("sh", "-c", "true"),
            http=HttpCall("http://x/", "POST", {"a": "b"}, "body"),
            touches=("/a/b",),
            priority=-3,
            timeout_ms=5,
            retries=2,
            on_failure="continue",
            env={"A": "1"},
            cwd="/x",
            rule="default",
            type="implement",
            trigger="docs/x",
            team="t",
            selector={"gpu": "yes"},
            affinity="prefer-spread",
            complexity="high",
            run_at=desk.now + 5,
        )
        (task,) = (await desk.submit(spec)).tasks
        assert (task.spec, task.state, task.attempt, task.created_at) == (spec, State.QUEUED, 0, desk.now)
        assert task.run_at == desk.now + 5
        assert await desk.backend.get(spec.id) == task

    async def test_seq_grows_in_the_order_of_submission(self, desk: Desk) -> None:
        await desk.add("a")
        await desk.submit(desk.spec("b"), desk.spec("c"))
        tasks = await desk.all_tasks()
        assert [task.spec.name for task in tasks] == ["a", "b", "c"]
        assert tasks[0].seq < tasks[1].seq < tasks[2].seq

    async def test_an_unknown_need_refuses_the_whole_submission(self, desk: Desk) -> None:
        before = await desk.cursor()
        with pytest.raises(NotFound):
            await desk.plan(desk.spec("a", run="run"), desk.spec("b", run="run", needs=("nobody",)))
        assert await desk.all_tasks() == []
        assert await desk.events(before) == []
        await desk.plan(desk.spec("a", run="run"))
        assert await desk.states() == {"a": "queued"}

    async def test_a_task_of_another_run_is_refused(self, desk: Desk) -> None:
        with pytest.raises(InvalidTask):
            await desk.submit(desk.spec("a", run="elsewhere"))

    async def test_the_same_id_again_is_the_same_task(self, desk: Desk) -> None:
        spec = desk.spec("a")
        first = await desk.submit(spec)
        before = await desk.cursor()
        again = await desk.submit(spec)
        assert (first.created, again.created) == ((True,), (False,))
        assert again.tasks == first.tasks
        assert await desk.events(before) == []

    async def test_the_same_key_again_is_the_same_task_even_when_it_has_ended(self, desk: Desk) -> None:
        first = await desk.add("a", key="k")
        ended = await desk.run_next()
        again = await desk.submit(desk.spec("other", key="k"), desk.spec("new"))
        assert again.created == (False, True)
        assert again.tasks[0] == ended
        assert again.tasks[0].id == first.id

    async def test_a_key_used_twice_in_one_submission_stands_for_its_first_task(self, desk: Desk) -> None:
        done = await desk.submit(desk.spec("a", key="k"), desk.spec("b", key="k"))
        assert done.created == (True, False)
        assert done.tasks[0] == done.tasks[1]

    async def test_companions_need_the_task_that_stands_for_theirs(self, desk: Desk) -> None:
        old = await desk.add("old", key="k")
        known = desk.spec("known", key="k")
        done = await desk.submit(known, desk.spec("next", needs=(known.id, old.id)))
        assert done.tasks[1].spec.needs == (old.id,)
        assert await desk.names() == ["old"]

    async def test_the_same_run_id_or_key_gives_the_same_run_and_tasks(self, desk: Desk) -> None:
        first = await desk.plan(desk.spec("a", run="run"), desk.spec("b", run="run"), key="k")
        before = await desk.cursor()
        for run in ("run", "another"):
            again = await desk.plan(desk.spec("a", run=run), desk.spec("b", run=run), run=run, key="k")
            assert again.run == first.run
            assert again.tasks == first.tasks
            assert again.created == (False, False)
        assert await desk.events(before) == []

    async def test_runs_and_tasks_have_keys_of_their_own(self, desk: Desk) -> None:
        await desk.add("a", key="k")
        done = await desk.plan(desk.spec("b", run="run", key="other"), key="k")
        assert done.created == (True,)

    async def test_a_run_is_running_with_its_counts(self, desk: Desk) -> None:
        done = await desk.plan(desk.spec("a", run="run"), desk.spec("b", run="run"))
        assert done.run is not None
        assert (done.run.state, done.run.counts, done.run.created_at) == (
            RunState.RUNNING,
            {State.QUEUED: 2},
            desk.now,
        )
        assert done.run.ended_at is None

    async def test_needs_may_point_forward_in_a_submission(self, desk: Desk) -> None:
        late = desk.spec("late")
        await desk.submit(desk.spec("early", needs=(late.id,)), late)
        assert await desk.names() == ["late"]

    async def test_a_need_that_ended_well_counts_at_once(self, desk: Desk) -> None:
        first = await desk.add("first")
        await desk.run_next()
        await desk.add("second", needs=(first.id,))
        assert await desk.names() == ["second"]

    async def test_a_need_that_ended_badly_counts_at_once(self, desk: Desk) -> None:
        first = await desk.add("first")
        await desk.run_next("failed")
        before = await desk.cursor()
        second = desk.spec("second", run="run", needs=(first.id,))
        done = await desk.plan(second, desk.spec("third", run="run", needs=(second.id,)))
        assert [task.state for task in done.tasks] == [State.SKIPPED, State.SKIPPED]
        assert [task.cause for task in done.tasks] == [first.id, second.id]
        assert done.run is not None
        assert done.run.state is RunState.SUCCEEDED
        assert await desk.story(before) == [
            ("run.submitted", "run"),
            ("task.submitted", "second"),
            ("task.submitted", "third"),
            ("task.skipped", "second"),
            ("task.skipped", "third"),
            ("run.finished", "run"),
        ]

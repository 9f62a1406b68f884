"""Leases: fencing tokens, renewal, rescue, what is recorded while running."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lite.errors import LeaseLost
from lite.model.task import Lease, Outcome, OutcomeKind, Progress, State, Waiting
from providers.base import Source, Usage
from tests.contracts.backend_base import BackendTopic
from tests.support.backends import TTL, Desk


class LeasesTopic(BackendTopic):
    async def test_tokens_grow_over_the_whole_store(self, desk: Desk) -> None:
        tokens = []
        for _ in range(3):
            await desk.add()
            claim = await desk.take()
            tokens.append(claim.lease.token)
            taken = await desk.backend.rescue(claim.lease, "w1", now=desk.now, ttl_ms=TTL)
            tokens.append(taken.lease.token)
            await desk.finish(taken, "rescheduled")
            again = await desk.take()
            tokens.append(again.lease.token)
            await desk.finish(again)
        assert tokens == sorted(set(tokens))

    async def test_renewing_extends_and_brings_a_cancel_request(self, desk: Desk) -> None:
        await desk.add()
        claim = await desk.take()
        desk.now += 1_000
        (renewal,) = await desk.backend.renew([claim.lease], now=desk.now, ttl_ms=TTL)
        assert renewal.lease == replace(claim.lease, expires_at=desk.now + TTL)
        assert (renewal.lost, renewal.cancel) == (False, "")
        assert (await desk.backend.get(claim.task.id)).lease == renewal.lease
        await desk.backend.cancel(claim.task.id, now=desk.now, reason="user")
        (renewal,) = await desk.backend.renew([claim.lease], now=desk.now, ttl_ms=TTL)
        assert renewal.cancel == "user"

    async def test_renewal_answers_in_order_and_marks_the_lost(self, desk: Desk) -> None:
        for _ in range(3):
            await desk.add()
        one, two, three = [claim.lease for claim in await desk.claim(3)]
        await desk.backend.finish(two, Outcome(OutcomeKind.SUCCEEDED), now=desk.now)
        strange = Lease("nothing", 1, 999_999, "w1", 0)
        renewals = await desk.backend.renew([three, two, strange, one], now=desk.now, ttl_ms=TTL)
        assert [renewal.lost for renewal in renewals] == [False, True, True, False]
        assert [renewal.lease.task for renewal in renewals] == [three.task, two.task, strange.task, one.task]
        assert await desk.backend.renew([], now=desk.now, ttl_ms=TTL) == []

    async def test_an_expired_lease_holds_until_it_is_rescued(self, desk: Desk) -> None:
        await desk.add()
        claim = await desk.take()
        desk.now += 10 * TTL
        assert await desk.claim() == []
        (renewal,) = await desk.backend.renew([claim.lease], now=desk.now, ttl_ms=TTL)
        assert not renewal.lost
        desk.now += 10 * TTL
        assert (await desk.finish(claim)).state is State.SUCCEEDED

    async def test_rescue_keeps_the_attempt_and_fences_the_old_holder_off(self, desk: Desk) -> None:
        await desk.add()
        claim = await desk.take()
        await desk.backend.record(claim.lease, Progress(handle="h1", started=True), now=desk.now)
        taken = await desk.backend.rescue(claim.lease, "w2", now=desk.now, ttl_ms=TTL)
        assert (taken.lease.attempt, taken.lease.worker) == (1, "w2")
        assert taken.lease.expires_at == desk.now + TTL
        assert (taken.task.attempt, taken.task.handle, taken.task.lease) == (1, "h1", taken.lease)
        before = await desk.cursor()
        with pytest.raises(LeaseLost):
            await desk.finish(claim)
        with pytest.raises(LeaseLost):
            await desk.backend.record(claim.lease, Progress(handle="mine"), now=desk.now)
        with pytest.raises(LeaseLost):
            await desk.backend.rescue(claim.lease, "w3", now=desk.now, ttl_ms=TTL)
        (renewal,) = await desk.backend.renew([claim.lease], now=desk.now, ttl_ms=TTL)
        assert renewal.lost
        assert await desk.events(before) == []
        assert await desk.backend.get(claim.task.id) == taken.task

    async def test_an_attempt_ends_once(self, desk: Desk) -> None:
        await desk.add(retries=1)
        claim = await desk.take()
        await desk.finish(claim, "failed")
        for kind in ("succeeded", "failed"):
            with pytest.raises(LeaseLost):
                await desk.finish(claim, kind)
        again = await desk.take()
        with pytest.raises(LeaseLost):
            await desk.finish(claim)
        await desk.finish(again)
        with pytest.raises(LeaseLost):
            await desk.finish(again)

    async def test_the_token_alone_decides_not_what_else_the_lease_says(self, desk: Desk) -> None:
        await desk.add()
        claim = await desk.take()
        old = replace(claim.lease, expires_at=0, worker="whoever")
        task = await desk.backend.finish(old, Outcome(OutcomeKind.SUCCEEDED), now=desk.now)
        assert task.state is State.SUCCEEDED

    async def test_a_lease_of_a_task_that_does_not_exist_is_lost(self, desk: Desk) -> None:
        with pytest.raises(LeaseLost):
            await desk.backend.finish(Lease("no", 1, 1, "w1", 0), Outcome(OutcomeKind.SUCCEEDED), now=desk.now)

    async def test_progress_is_kept_and_none_leaves_a_field(self, desk: Desk) -> None:
        await desk.add()
        claim = await desk.take()
        usage = Usage(10, 20, 0.25, Source.REPORTED)
        for progress in (
            Progress(handle="h"),
            Progress(provider_session="s"),
            Progress(usage=usage),
            Progress(started=True),
            Progress(),
        ):
            task = await desk.backend.record(claim.lease, progress, now=desk.now)
        assert (task.handle, task.provider_session, task.usage, task.started_at) == ("h", "s", usage, desk.now)
        assert await desk.backend.get(task.id) == task

    async def test_starting_is_told_once(self, desk: Desk) -> None:
        await desk.add("a")
        claim = await desk.take()
        before, began = await desk.cursor(), desk.now
        await desk.backend.record(claim.lease, Progress(started=True), now=desk.now)
        desk.now += 5
        task = await desk.backend.record(claim.lease, Progress(started=True), now=desk.now)
        assert task.started_at == began
        assert await desk.story(before) == [("task.started", "a")]

    async def test_waiting_is_told_when_it_changes_and_answered_clears_it(self, desk: Desk) -> None:
        await desk.add("a")
        claim = await desk.take()
        before = await desk.cursor()
        first, second = Waiting("1", "approval", "rm?", "aa"), Waiting("2", "question", "why?", "bb")
        for progress in (
            Progress(waiting=first),
            Progress(waiting=first),
            Progress(answered=True, waiting=second),
            Progress(answered=True, waiting=second),
            Progress(answered=True),
            Progress(answered=True),
        ):
            task = await desk.backend.record(claim.lease, progress, now=desk.now)
            assert await desk.backend.get(task.id) == task
        assert task.waiting is None
        events = await desk.events(before)
        assert [(event.kind, event.data["id"]) for event in events] == [
            ("session.waiting", "1"),
            ("session.answered", "1"),
            ("session.waiting", "2"),
            ("session.answered", "2"),
            ("session.waiting", "2"),
            ("session.answered", "2"),
        ]
        assert events[0].data == {"id": "1", "kind": "approval", "text": "rm?", "hash": "aa", "ref": ""}

"""What every bridge must do. `Post` is the other side: whoever sends letters, and looks at what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import pytest

from lite.aio.probe import reached
from lite.aio.tasks import Job, Jobs, spawn
from lite.model.letter import MAX_LETTER, Letter
from lite.ports import Bridge
from tests.support.bridges import DeadLetter

NOW = 1_700_000_000_000


class Post(Protocol):
    def bridge(self) -> Bridge:
        """Another process's."""
        ...

    async def send(self, payload: bytes) -> str:
        """Its id."""
        ...

    async def abandon(self) -> None:
        """Let it be long ago that letters in hand were taken."""
        ...

    async def lying(self) -> int:
        """Letters neither settled nor refused."""
        ...

    async def dead(self) -> Sequence[DeadLetter]: ...

    async def ask_reload(self) -> None:
        """As a stranger."""
        ...


def payloads(letters: Sequence[Letter]) -> list[bytes]:
    return [letter.payload for letter in letters]


class BridgeContract:
    """`post` is supplied by each implementation's test class."""

    @pytest.fixture
    async def jobs(self) -> AsyncIterator[Jobs]:
        jobs = Jobs("test")
        yield jobs
        await jobs.cancel()

    async def test_what_was_sent_before_anybody_listened_comes_in_order(self, post: Post) -> None:
        ids = [await post.send(b"%d" % at) for at in range(5)]
        letters = await post.bridge().receive("a", limit=10)
        assert [letter.id for letter in letters] == ids
        assert payloads(letters) == [b"0", b"1", b"2", b"3", b"4"]
        assert not any(letter.retaken or letter.problem for letter in letters)

    async def test_any_bytes_come_as_they_are(self, post: Post) -> None:
        sent = [b"", b"\xff\xfe\x00", "\u2028 ü".encode(), b"x" * 300_000]
        for payload in sent:
            await post.send(payload)
        assert payloads(await post.bridge().receive("a", limit=10)) == sent

    async def test_of_a_huge_one_no_more_than_tells_that_it_is_huge(self, post: Post) -> None:
        await post.send(b"x" * 10_000_000)
        await post.send(b"next")
        huge, *rest = await post.bridge().receive("a", limit=10)
        assert huge.payload == b"x" * len(huge.payload)
        assert MAX_LETTER < len(huge.payload) <= MAX_LETTER + 1
        assert payloads(rest) == [b"next"]

    async def test_at_most_as_many_as_asked_for(self, post: Post) -> None:
        bridge = post.bridge()
        for at in range(5):
            await post.send(b"%d" % at)
        seen = []
        for expected in (2, 2, 1):
            letters = await bridge.receive("a", limit=2)
            assert len(letters) == expected
            seen += payloads(letters)
            for letter in letters:
                await bridge.settle(letter)
        assert seen == [b"0", b"1", b"2", b"3", b"4"]

    async def test_waits_for_the_next(self, post: Post, jobs: Jobs) -> None:
        bridge = post.bridge()
        waits = spawn(reached("bridge.waits"))
        receiving = jobs.spawn(bridge.receive("a", limit=10))
        await waits
        await post.send(b"late")
        (letter,) = await receiving
        assert (letter.payload, letter.retaken) == (b"late", False)

    async def test_two_share(self, post: Post) -> None:
        one, two = post.bridge(), post.bridge()
        for at in range(20):
            await post.send(b"%d" % at)
        mine = await one.receive("a", limit=10)
        theirs = await two.receive("b", limit=10)
        assert sorted(map(int, payloads(mine) + payloads(theirs))) == list(range(20))

    async def test_each_new_letter_wakes_only_one(self, post: Post, jobs: Jobs) -> None:
        bridges = {"a": post.bridge(), "b": post.bridge()}
        waits = [spawn(reached("bridge.waits")) for _ in bridges]
        receiving = {jobs.spawn(bridge.receive(name, limit=10)) for name, bridge in bridges.items()}
        await asyncio.gather(*waits)
        await post.send(b"first")
        done, rest = await asyncio.wait(receiving, return_when=asyncio.FIRST_COMPLETED)
        assert (len(done), len(rest)) == (1, 1)
        await post.send(b"second")
        (other,) = rest
        assert payloads(await other) == [b"second"]

    async def test_a_settled_letter_never_comes_again(self, post: Post) -> None:
        bridge = post.bridge()
        await post.send(b"one")
        await post.send(b"two")
        letters = await bridge.receive("a", limit=10)
        await asyncio.gather(*map(bridge.settle, letters))
        await bridge.settle(letters[0])  # again: nothing
        assert await post.lying() == 0
        await post.abandon()
        await post.send(b"three")
        assert payloads(await post.bridge().receive("b", limit=10)) == [b"three"]

    async def test_what_was_not_settled_comes_first_when_one_asks_again(self, post: Post) -> None:
        bridge = post.bridge()
        for at in range(3):
            await post.send(b"%d" % at)
        first, second = await bridge.receive("a", limit=2)
        await bridge.settle(first)
        again = await bridge.receive("a", limit=10)
        assert [(letter.id, letter.retaken) for letter in again] == [(second.id, True), (again[1].id, False)]
        assert payloads(again) == [b"1", b"2"]

    async def test_it_comes_again_to_the_next_process_of_that_name(self, post: Post) -> None:
        await post.send(b"one")
        (letter,) = await post.bridge().receive("a", limit=10)
        (again,) = await post.bridge().receive("a", limit=10)
        assert (again.id, again.payload, again.retaken) == (letter.id, b"one", True)

    async def test_what_another_has_in_hand_is_not_touched(self, post: Post, jobs: Jobs) -> None:
        await post.send(b"one")
        await post.bridge().receive("a", limit=10)
        waits = spawn(reached("bridge.waits"))
        receiving = jobs.spawn(post.bridge().receive("b", limit=10))
        await waits
        await post.send(b"two")
        assert payloads(await receiving) == [b"two"]

    async def test_what_a_dead_one_took_goes_to_another_before_what_is_new(self, post: Post) -> None:
        dead = post.bridge()
        for at in range(3):
            await post.send(b"%d" % at)
        await dead.receive("a", limit=2)
        await dead.close()
        await post.abandon()
        letters = await post.bridge().receive("b", limit=10)
        assert [(letter.payload, letter.retaken) for letter in letters] == [(b"0", True), (b"1", True), (b"2", False)]

    async def test_who_was_thought_dead_may_still_settle(self, post: Post) -> None:
        slow, other = post.bridge(), post.bridge()
        await post.send(b"one")
        (letter,) = await slow.receive("a", limit=10)
        await post.abandon()
        (taken,) = await other.receive("b", limit=10)
        await slow.settle(letter)
        assert await post.lying() == 0
        await other.refuse(taken, "no", now=NOW)
        assert await post.dead() == []

    async def test_a_refused_letter_is_set_aside_with_its_reason(self, post: Post) -> None:
        bridge = post.bridge()
        await post.send(b"\xffnonsense")
        await post.send(b"fine")
        bad, fine = await bridge.receive("a", limit=10)
        await bridge.refuse(bad, "usage: no JSON: ü\n", now=NOW)
        await bridge.refuse(bad, "again", now=NOW)
        await bridge.settle(fine)
        assert await post.lying() == 0
        assert list(await post.dead()) == [DeadLetter(bad.id, "usage: no JSON: ü\n", b"\xffnonsense", NOW)]

    async def test_who_was_thought_dead_does_not_refuse_what_another_has(self, post: Post) -> None:
        slow, other = post.bridge(), post.bridge()
        await post.send(b"one")
        (letter,) = await slow.receive("a", limit=10)
        await post.abandon()
        (taken,) = await other.receive("b", limit=10)
        await slow.refuse(letter, "my configuration is old", now=NOW)
        assert (await post.lying(), list(await post.dead())) == (1, [])
        await other.settle(taken)
        assert await post.lying() == 0

    async def test_reload_asked_by_a_stranger_and_by_another(self, post: Post, jobs: Jobs) -> None:
        mine, other = post.bridge(), post.bridge()
        hearing = await listening(mine, jobs)
        await post.ask_reload()
        await hearing
        hearing = jobs.spawn(mine.reload_asked())
        await other.ask_reload()
        await hearing

    async def test_who_asks_does_not_hear_itself(self, post: Post, jobs: Jobs) -> None:
        mine, other = post.bridge(), post.bridge()
        hearing = await listening(mine, jobs)
        heard = spawn(reached("bridge.heard"))
        await mine.ask_reload()
        assert (await heard)["own"]
        await asyncio.sleep(0)
        assert not hearing.done()
        await other.ask_reload()
        await hearing

    async def test_asked_many_times_meanwhile_is_told_once(self, post: Post, jobs: Jobs) -> None:
        mine, other = post.bridge(), post.bridge()
        hearing = await listening(mine, jobs)
        await other.ask_reload()
        await hearing
        for _ in range(5):
            await other.ask_reload()
        await other.settle(Letter("0-1", b""))  # a round trip more, by which the last ask has come
        await mine.reload_asked()
        hearing = jobs.spawn(mine.reload_asked())
        heard = spawn(reached("bridge.heard"))
        await mine.ask_reload()
        assert (await heard)["own"]
        await asyncio.sleep(0)
        assert not hearing.done()


async def listening(bridge: Bridge, jobs: Jobs) -> Job:
    listens = spawn(reached("bridge.listens"))
    hearing = jobs.spawn(bridge.reload_asked())
    await listens
    return hearing

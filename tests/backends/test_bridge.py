"""The bridge on a real Redis server, and the fake one that stands for it: the same contract; then what only the real
one can meet."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from lite.aio.probe import reached
from lite.aio.tasks import Jobs, spawn
from lite.backends.redis import bridge as module
from lite.backends.redis.bridge import GROUP, MAX_PAYLOAD
from lite.errors import BackendError
from lite.ports import Bridge
from tests.contracts.bridge import NOW, BridgeContract, listening, payloads
from tests.support.bridges import DeadLetter, FakeBridge, Office
from tests.support.redis_fixtures import NewRedis
from tests.support.redis_post import RedisPost
from tests.support.redis_server import RedisServer


@pytest.fixture
async def post(redis_server: RedisServer, redis_prefix: str) -> AsyncIterator[RedisPost]:
    post = RedisPost(redis_server, redis_server.options(redis_prefix))
    yield post
    await post.close()


@pytest.fixture
async def jobs() -> AsyncIterator[Jobs]:
    jobs = Jobs("test")
    yield jobs
    await jobs.cancel()


class TestRedisBridge(BridgeContract):
    pass


class TestRedisBridgeResp2(BridgeContract):
    """As older servers and some proxies speak."""

    @pytest.fixture
    async def post(self, redis_server: RedisServer, redis_prefix: str) -> AsyncIterator[RedisPost]:
        options = redis_server.options(redis_prefix)
        post = RedisPost(redis_server, replace(options, url=f"{options.url}&protocol=2"))
        yield post
        await post.close()


class FakePost:
    def __init__(self) -> None:
        self.office = Office()

    def bridge(self) -> Bridge:
        return FakeBridge(self.office)

    async def send(self, payload: bytes) -> str:
        return self.office.post(payload)

    async def abandon(self) -> None:
        self.office.abandon()

    async def lying(self) -> int:
        return len(self.office.letters)

    async def dead(self) -> Sequence[DeadLetter]:
        return self.office.dead

    async def ask_reload(self) -> None:
        self.office.ask_reload()


class TestFakeBridge(BridgeContract):
    @pytest.fixture
    def post(self) -> FakePost:
        return FakePost()


# -- what only a real server does ------------------------------------------------------------------------------------


async def test_only_a_field_called_task_is_a_letter(post: RedisPost) -> None:
    for fields in (
        ("prompt", "hi", "agent", "dev"),
        ("task", "{}", "trace", "1"),
        ("task", "{}", "task", "{}"),
        (b"\xff\x1b[31m", b"\xff"),
        tuple(f"f{at}" for at in range(200)),
    ):
        await post.add(*fields)
    await post.send("{}")
    letters = await post.bridge().receive("a", limit=10)
    assert [letter.problem for letter in letters] == [
        "the entry has no field 'task', but 'prompt', 'agent'",
        "the entry has the unknown field 'trace'; the whole task goes into the field 'task'",
        "the entry has the field 'task' more than once",
        "the entry has no field 'task', but '\ufffd\\x1b[31m'",
        "the entry has no field 'task', but " + ", ".join(f"'f{at}'" for at in range(0, 24, 2)) + " and 8 more",
        "",
    ]
    assert json.loads(letters[0].payload) == [["prompt", "hi"], ["agent", "dev"]]


async def test_huge_letters_come_a_few_at_a_time(post: RedisPost) -> None:
    bridge = post.bridge()
    for _ in range(12):
        await post.send(b"x" * 3_000_000)
    await post.add("a" * 3_000_000, "b" * 3_000_000, "c", "d")
    seen = 0
    while seen < 13:
        letters = await bridge.receive("a", limit=100)
        assert sum(len(letter.payload) for letter in letters) < 12 << 20
        await asyncio.gather(*map(bridge.settle, letters))
        seen += len(letters)
    assert await post.lying() == 0


async def test_dead_letters_are_bounded(post: RedisPost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_DEAD", 100)
    bridge = post.bridge()
    await post.send(b"x" * 200_000)
    (letter,) = await bridge.receive("a", limit=1)
    await bridge.refuse(letter, "no\ud800" * 100_000, now=NOW)
    (dead,) = await post.dead()
    assert (len(dead.payload), dead.reason[:8]) == (MAX_PAYLOAD, "no\\ud800")
    assert len(dead.reason) < 20_000
    for _ in range(1000):
        await post.send("no")
    for _ in range(10):
        for letter in await bridge.receive("a", limit=100):
            await bridge.refuse(letter, "no", now=NOW)
    assert 100 <= len(await post.dead()) <= 300


async def test_what_somebody_deleted_while_it_was_in_hand_is_forgotten(post: RedisPost) -> None:
    bridge = post.bridge()
    entry = await post.send("one")
    await bridge.receive("a", limit=10)
    await post.ask("XDEL", post.incoming, entry)
    await post.send("two")
    assert payloads(await bridge.receive("a", limit=10)) == [b"two"]
    assert [one[1] for one in await post.pending()] == [b"a"]


async def test_the_dead_are_looked_for_while_waiting(
    post: RedisPost, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BLOCK_SECONDS", 0.05)
    await post.send("one")
    await post.bridge().receive("a", limit=10)
    waits = spawn(reached("bridge.waits"))
    receiving = jobs.spawn(post.bridge().receive("b", limit=10))
    await waits
    await post.abandon()
    (letter,) = await receiving
    assert (letter.payload, letter.retaken) == (b"one", True)


async def test_the_dead_are_found_behind_thousands_who_live(post: RedisPost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK_SECONDS", 0.01)
    for at in range(2500):
        await post.send(b"%d" % at)
    living = post.bridge()
    await living.receive("living", limit=2400)
    await post.bridge().receive("dead", limit=100)
    for entry, *_ in (await post.ask("XPENDING", post.incoming, GROUP, "-", "+", 3000, "dead"))[:1]:
        await post.ask("XCLAIM", post.incoming, GROUP, "dead", 0, entry, "IDLE", 60_000, "JUSTID")
    (letter,) = await post.bridge().receive("b", limit=10)
    assert (letter.payload, letter.retaken) == (b"2400", True)


async def test_many_settle_at_once(post: RedisPost) -> None:
    bridge = post.bridge()
    for at in range(1500):
        await post.send(b"%d" % at)
    letters = await bridge.receive("a", limit=1500)
    before = int((await info(post))["total_commands_processed"])
    await asyncio.gather(*map(bridge.settle, letters))
    assert await post.lying() == 0
    assert await post.pending() == []
    assert int((await info(post))["total_commands_processed"]) - before < 40


async def info(post: RedisPost) -> dict[str, str]:
    return await asyncio.to_thread(post.server.info, "stats")


async def test_a_connection_cut_in_between_loses_no_letter(post: RedisPost, jobs: Jobs) -> None:
    """What the server thinks it gave us comes again."""
    bridge = post.bridge()
    waits = spawn(reached("bridge.waits"))
    receiving = jobs.spawn(bridge.receive("a", limit=10))
    await waits
    receiving.cancel()
    await asyncio.gather(receiving, return_exceptions=True)
    for at in range(3):
        await post.send(b"%d" % at)
        await post.ask("XREADGROUP", "GROUP", GROUP, "a", "COUNT", 1, "STREAMS", post.incoming, ">")
    assert payloads(await bridge.receive("a", limit=10)) == [b"0", b"1", b"2"]


async def test_a_key_that_is_no_stream_is_an_error_in_our_words(post: RedisPost) -> None:
    await post.ask("SET", post.incoming, "mine")
    with pytest.raises(BackendError, match="WRONGTYPE"):
        await post.bridge().receive("a", limit=1)


async def test_every_key_begins_with_the_prefix(new_redis: NewRedis, jobs: Jobs) -> None:
    server = new_redis()
    post = RedisPost(server, server.options("fleet-7"))
    hearing = await listening(post.bridge(), jobs)
    await post.send("no")
    bridge = post.bridge()
    (letter,) = await bridge.receive("a", limit=1)
    await bridge.refuse(letter, "no", now=NOW)
    assert sorted(await post.ask("KEYS", "*")) == [b"fleet-7:work:dead-letter", b"fleet-7:work:incoming"]
    assert await post.ask("PUBSUB", "CHANNELS") == [b"fleet-7:system.reload"]
    hearing.cancel()
    await post.close()

"""The bridge on a real Redis server, and the fake one that stands for it: the same contract; then what only the real
one can meet."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from lite.aio.probe import reached
from lite.aio.tasks import Jobs, spawn
from lite.backends.memory import MemoryBackend
from lite.backends.redis import bridge as module
from lite.backends.redis.bridge import GROUP, MAX_PAYLOAD, RedisBridge
from lite.clock import SystemClock, VirtualClock
from lite.errors import BackendError
from lite.model.letter import Letter
from lite.model.settings import RedisOptions
from lite.model.task import TaskQuery
from lite.ports import Bridge
from tests.contracts.bridge import NOW, BridgeContract, listening, payloads
from tests.support.bridges import DeadLetter, FakeBridge, Office
from tests.support.engines import Engine
from tests.support.redis_fixtures import NewRedis
from tests.support.redis_server import RedisServer


class RedisPost:
    """Whoever knows the server, the prefix and nothing else."""

    def __init__(self, server: RedisServer, options: RedisOptions) -> None:
        self.server = server
        self.options = options
        self.incoming = f"{options.prefix}:work:incoming"
        self.made: list[RedisBridge] = []

    def bridge(self) -> RedisBridge:
        self.made.append(RedisBridge(self.options))
        return self.made[-1]

    async def send(self, payload: bytes | str) -> str:
        return await self.add("task", payload)

    async def add(self, *fields: bytes | str) -> str:
        return (await self.ask("XADD", self.incoming, "*", *fields)).decode()

    async def abandon(self) -> None:
        """Their idle time is set; who has them stays who has them."""
        for entry, taker, *_ in await self.pending():
            await self.ask("XCLAIM", self.incoming, GROUP, taker, 0, entry, "IDLE", 60_000, "JUSTID")

    async def pending(self) -> list[tuple[bytes, bytes, int, int]]:
        return await self.ask("XPENDING", self.incoming, GROUP, "-", "+", 1000)

    async def lying(self) -> int:
        return await self.ask("XLEN", self.incoming)

    async def dead(self) -> Sequence[DeadLetter]:
        found = []
        for _, flat in await self.ask("XRANGE", f"{self.options.prefix}:work:dead-letter", "-", "+"):
            fields = dict(zip(flat[::2], flat[1::2], strict=True))
            assert set(fields) == {b"id", b"reason", b"payload", b"time"}
            entry, reason = fields[b"id"].decode(), fields[b"reason"].decode()
            found.append(DeadLetter(entry, reason, fields[b"payload"], int(fields[b"time"])))
        return found

    async def ask_reload(self) -> None:
        assert await self.ask("PUBLISH", f"{self.options.prefix}:system.reload", "please") >= 1

    async def ask(self, *words: bytes | str | int):  # type: ignore[no-untyped-def]
        return await asyncio.to_thread(self.server.ask, *words)

    async def close(self) -> None:
        for bridge in self.made:
            await bridge.close()


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


@pytest.mark.parametrize("how", ["flushed", "killed"])
async def test_a_server_that_forgets_everything_while_we_wait(new_redis: NewRedis, jobs: Jobs, how: str) -> None:
    """Stream and group are made again; what is sent then arrives."""
    server = new_redis()
    post = RedisPost(server, server.options("q"))
    bridge = post.bridge()
    waits = spawn(reached("bridge.waits"))
    receiving = jobs.spawn(patient(bridge))
    await waits
    if how == "flushed":
        await post.ask("FLUSHALL")
    else:
        server.restart()
    await post.send("late")
    assert payloads(await receiving) == [b"late"]
    await post.close()


async def patient(bridge: Bridge) -> Sequence[Letter]:
    """As the intake does, without its pauses."""
    while True:
        try:
            return await bridge.receive("a", limit=10)
        except BackendError:
            continue


async def test_without_a_server_every_verb_says_so(new_redis: NewRedis) -> None:
    server = new_redis()
    post = RedisPost(server, server.options("q"))
    bridge = post.bridge()
    await post.send("one")
    await post.send("two")
    one, two = await bridge.receive("a", limit=10)
    server.kill()
    for verb in (
        bridge.receive("a", limit=1),
        bridge.settle(one),
        bridge.refuse(two, "no", now=NOW),
        bridge.reload_asked(),
        bridge.ask_reload(),
    ):
        with pytest.raises(BackendError) as caught:
            await verb
        assert "does not answer" in caught.value.message
        assert caught.value.hint


async def test_a_server_that_hangs_is_given_up_in_time(new_redis: NewRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK_SECONDS", 0.05)
    monkeypatch.setattr(module, "_SILENCE_SECONDS", 0.05)
    server = new_redis()
    post = RedisPost(server, server.options("q", answer_ms=100, connect_ms=100))
    bridge = post.bridge()
    await post.send("one")
    (letter,) = await bridge.receive("a", limit=10)
    hearing = spawn(bridge.reload_asked())
    await reached("bridge.listens")
    server.pause()
    try:
        async with asyncio.timeout(10):
            results = await asyncio.gather(
                bridge.receive("a", limit=1), bridge.settle(letter), hearing, return_exceptions=True
            )
    finally:
        server.resume()
    assert [type(result) for result in results] == [BackendError] * 3
    await bridge.settle(letter)
    assert await post.lying() == 0
    await post.close()


async def test_a_quiet_channel_is_not_taken_for_a_lost_one(
    post: RedisPost, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SILENCE_SECONDS", 0.01)
    bridge = post.bridge()
    pings: asyncio.Queue[None] = asyncio.Queue()
    hear = bridge._hearing.hear

    async def watched(*command: object, patience: float) -> object:
        answer = await hear(*command, patience=patience)
        if command == ("PING",):
            pings.put_nowait(None)
        return answer

    monkeypatch.setattr(bridge._hearing, "hear", watched)
    hearing = await listening(bridge, jobs)
    for _ in range(5):
        await pings.get()
    assert (hearing.done(), bridge._subscriptions) == (False, 1)
    await post.ask_reload()
    await hearing


async def test_what_was_asked_while_we_could_not_hear_counts(new_redis: NewRedis, jobs: Jobs) -> None:
    server = new_redis()
    post = RedisPost(server, server.options("q"))
    bridge = post.bridge()
    hearing = await listening(bridge, jobs)
    server.restart()
    with pytest.raises(BackendError):
        await hearing
    await bridge.reload_asked()  # somebody may have asked meanwhile
    hearing = jobs.spawn(bridge.reload_asked())
    await post.ask_reload()
    await hearing
    await post.close()


async def test_letters_can_be_worked_off_when_the_server_is_out_of_memory(new_redis: NewRedis) -> None:
    server = new_redis()
    post = RedisPost(server, server.options("q"))
    bridge = post.bridge()
    for at in range(3):
        await post.send(b"%d" % at)
    (first,) = await bridge.receive("a", limit=1)
    await post.ask("CONFIG", "SET", "maxmemory", "1")
    await bridge.settle(first)
    second, third = await bridge.receive("a", limit=10)
    with pytest.raises(BackendError) as caught:
        await bridge.refuse(second, "no", now=NOW)
    assert "out of memory" in caught.value.hint
    await bridge.settle(third)
    assert await post.lying() == 1  # not lost
    await post.ask("CONFIG", "SET", "maxmemory", "0")
    await bridge.refuse(second, "no", now=NOW)
    assert [dead.id for dead in await post.dead()] == [second.id]
    await post.close()


async def test_the_intake_goes_on_with_a_server_that_was_killed(
    new_redis: NewRedis, tmp_path: Path, jobs: Jobs
) -> None:
    """In real time, with the real intake: letters before, through an outage, after; each is one task."""
    server = new_redis()
    post = RedisPost(server, server.options("q"))
    backend = MemoryBackend()
    await backend.open()
    letter = json.dumps({"command": ["true"], "name": "first"}).encode()
    await post.send(letter)
    settled = spawn(reached("intake.settled"))
    bridge = post.bridge()
    failed = failure_of(bridge)
    real = cast(VirtualClock, SystemClock())
    engine = Engine(backend, tmp_path, clock=real, role="orchestrator", alone=False, bridge=bridge)
    await engine.start()
    await settled
    server.kill()
    await failed.wait()
    server.start()
    for name in ("second", "third"):
        settled = spawn(reached("intake.settled"))
        await post.send(letter.replace(b"first", name.encode()))
        await settled
    assert [task.spec.name for task in await backend.tasks(TaskQuery())] == ["first", "second", "third"]
    assert await post.lying() == 0
    await engine.supervisor.stop(keep_sessions=False)
    await backend.close()


def failure_of(bridge: RedisBridge) -> asyncio.Event:
    """Set when somebody was told that letters cannot be received."""
    failed, receive = asyncio.Event(), bridge.receive

    async def watched(consumer: str, *, limit: int) -> Sequence[Letter]:
        try:
            return await receive(consumer, limit=limit)
        except BackendError:
            failed.set()
            raise

    bridge.receive = watched  # type: ignore[method-assign]
    return failed


async def test_a_letter_of_a_killed_orchestrator_is_not_doubled(
    redis_server: RedisServer, redis_prefix: str, tmp_path: Path
) -> None:
    """It stored the task and never said so; the next one takes the letter over."""
    post = RedisPost(redis_server, redis_server.options(redis_prefix))
    backend = MemoryBackend()
    await backend.open()
    engines = []
    for name in ("a", "b"):
        engines.append(
            Engine(backend, tmp_path / name, worker=name, role="orchestrator", alone=False, bridge=post.bridge())
        )
    first, second = engines
    first.context.bridge.settle = hang  # type: ignore[union-attr, method-assign]
    stored = spawn(reached("intake.stored"))
    await first.start()
    await post.send(json.dumps({"command": ["true"], "name": "once"}).encode())
    assert (await stored)["created"]
    await first.crash()
    assert await post.lying() == 1
    await post.abandon()
    stored, settled = spawn(reached("intake.stored")), spawn(reached("intake.settled"))
    await second.start()
    assert not (await stored)["created"]
    await settled
    assert [task.spec.name for task in await backend.tasks(TaskQuery())] == ["once"]
    assert (await post.lying(), await post.dead()) == (0, [])
    await second.crash()
    await post.close()
    await backend.close()


async def hang(letter: Letter) -> None:
    await asyncio.Event().wait()

"""Letters and requests to reload while the server, or somebody who takes letters in, comes and goes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import cast

import pytest

from lite.aio.probe import reached
from lite.aio.tasks import Jobs, spawn
from lite.backends.memory import MemoryBackend
from lite.backends.redis import bridge as module
from lite.backends.redis.bridge import RedisBridge
from lite.clock import SystemClock, VirtualClock
from lite.errors import BackendError
from lite.model.letter import Letter
from lite.model.task import TaskQuery
from lite.ports import Bridge
from tests.contracts.bridge import NOW, listening, payloads
from tests.support.engines import Engine
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

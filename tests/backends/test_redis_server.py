"""What only Redis promises: which servers are refused, what each keeps, how faults of the server are met."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from lite.aio.probe import reached
from lite.aio.tasks import spawn
from lite.backends.redis import RedisBackend
from lite.backends.redis.library import library
from lite.backends.redis.rows import spec_to_fields, task_from_row
from lite.errors import BackendError, BackendUnusable, LeaseLost
from lite.model.task import Outcome, OutcomeKind, State
from tests.contracts.backend_base import BackendTopic
from tests.support.backends import TTL, Desk
from tests.support.redis_fixtures import NewRedis
from tests.support.redis_server import RedisServer

SUCCEEDED = Outcome(OutcomeKind.SUCCEEDED)


@asynccontextmanager
async def opened(server: RedisServer, **options: Any) -> AsyncIterator[RedisBackend]:
    backend = RedisBackend(server.options("qd", **{"answer_ms": 1000, "connect_ms": 1000, **options}))
    await backend.open()
    try:
        yield backend
    finally:
        await backend.close()


async def refused(server: RedisServer, **options: Any) -> BackendError:
    with pytest.raises(BackendError) as found:
        async with opened(server, **options):
            pass
    return found.value


class TestServers:
    @pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
    async def test_one_that_throws_keys_away_is_refused(self, new_redis: NewRedis, policy: str) -> None:
        server = new_redis(maxmemory="50mb", maxmemory_policy=policy)
        error = await refused(server)
        assert isinstance(error, BackendUnusable)
        assert policy in error.message
        assert "noeviction" in error.hint
        assert server.ask("DBSIZE") == 0  # untouched

    async def test_one_that_begins_to_throw_keys_away_is_refused_at_the_next_connection(
        self, new_redis: NewRedis
    ) -> None:
        server = new_redis(maxmemory="50mb")
        async with opened(server) as backend:
            server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
            server.ask("CLIENT", "KILL", "TYPE", "normal")
            with pytest.raises(BackendUnusable, match="allkeys-lru"):
                await Desk(backend).add()

    async def test_without_aof_it_warns_and_with_it_it_tells_the_policy(self, new_redis: NewRedis) -> None:
        async with opened(new_redis()) as backend:
            assert any("without AOF" in line for line in backend.warnings())
            assert "AOF is off" in backend.describe()
        for fsync, word in (("always", "before it is reported"), ("everysec", "last 2 s"), ("no", "half minute")):
            async with opened(new_redis(appendonly=True, appendfsync=fsync, maxmemory="100mb")) as backend:
                assert word in backend.describe()
                assert bool(backend.warnings()) is (fsync == "no")

    async def test_a_replica_is_refused(self, new_redis: NewRedis) -> None:
        primary = new_redis()
        assert "replica" in (await refused(new_redis(replicaof=primary))).message

    async def test_somebody_elses_keys_are_refused_untouched(self, new_redis: NewRedis) -> None:
        server = new_redis()
        server.ask("SET", "qd:meta", "mine")
        assert "not ours" in (await refused(server)).message
        server.ask("DEL", "qd:meta")
        server.ask("HSET", "qd:meta", "schema", 99)
        error = await refused(server)
        assert "newer version" in error.message
        assert server.ask("HLEN", "qd:meta") == 1

    async def test_passwords(self, new_redis: NewRedis) -> None:
        server = new_redis(requirepass="s3cret")
        for password in ("", "wrong-one"):
            error = await refused(server, password=password)
            assert error.hint
            assert "wrong-one" not in f"{error} {error.hint}"
        async with opened(server) as backend:
            assert "s3cret" not in f"{backend!r} {backend.describe()} {backend._options!r}"

    async def test_a_user_that_may_do_no_more_than_its_prefix(self, new_redis: NewRedis) -> None:
        server = new_redis(users={"fleet": "on >pw ~qd:* &qd:* +@all -@admin -@dangerous +info"})
        async with opened(server, username="fleet", password="pw") as backend:
            desk = Desk(backend)
            await desk.join()
            await desk.add("a")
            await desk.run_next()
            assert await desk.states() == {"a": "succeeded"}
            assert "not told" in backend.describe() or "AOF is off" in backend.describe()

    async def test_tls(self, new_redis: NewRedis) -> None:
        server = new_redis(tls=True)
        assert server.certificates is not None
        async with opened(server, url=server.tls_url, ca=str(server.certificates.ca)) as backend:
            await Desk(backend).add()
        assert "certificate" in str(await refused(server, url=server.tls_url)).lower()

    async def test_nobody_there(self, new_redis: NewRedis) -> None:
        server = new_redis()
        server.kill()
        assert (await refused(server)).hint


class TestFaults:
    async def test_a_server_that_forgot_the_script_is_taught_again(self, new_redis: NewRedis) -> None:
        server = new_redis()
        async with opened(server) as backend:
            desk = Desk(backend)
            await desk.add()
            server.ask("FUNCTION", "FLUSH")
            await desk.add()
            assert len(await desk.all_tasks()) == 2

    @pytest.mark.parametrize("fsync", ["always", "everysec"])
    async def test_killed_with_aof_nothing_that_was_accepted_is_lost(self, new_redis: NewRedis, fsync: str) -> None:
        server = new_redis(appendonly=True, appendfsync=fsync)
        async with opened(server, answer_ms=5000) as backend:
            desk = Desk(backend)
            await desk.join()
            accepted: list[str] = []

            async def submitting() -> None:
                for _ in range(300):
                    accepted.append((await desk.add()).id)

            job = spawn(submitting(), "submitting")
            while len(accepted) < 100:
                await reached("redis.called")
            server.kill()
            known = list(accepted)
            server.start()
            await job
            stored = {task.id for task in await desk.all_tasks()}
            assert set(known) <= stored
            assert stored == set(accepted)  # and none twice: ids are the caller's
            assert [event.cursor for event in await desk.events(0)] == sorted({e.cursor for e in await desk.events(0)})

    async def test_killed_without_aof_cursors_and_tokens_never_come_again(self, new_redis: NewRedis) -> None:
        """What the server has lost is lost (and was warned of); a lease of before it is worth nothing."""
        server = new_redis()
        async with opened(server, answer_ms=5000) as backend, opened(server, answer_ms=5000) as other:
            there = Desk(other)  # a client that has seen less
            await there.join()
            desk = Desk(backend)
            await desk.join()
            spec = desk.spec("a")
            await desk.submit(spec)
            claim = await desk.take()
            server.restart()
            await there.join()
            await there.submit(spec)
            again = await there.take()
            assert again.task.attempt == claim.task.attempt
            assert again.lease.token > claim.lease.token + 1000
            with pytest.raises(LeaseLost):
                await backend.finish(claim.lease, SUCCEEDED, now=desk.now)
            assert (await other.finish(again.lease, SUCCEEDED, now=desk.now)).state is State.SUCCEEDED

    async def test_a_hung_server_costs_a_bounded_time_and_nothing_twice(self, new_redis: NewRedis) -> None:
        server = new_redis()
        async with opened(server, answer_ms=300) as backend:
            desk = Desk(backend)
            await desk.join()
            await desk.add("before")
            server.pause()
            with pytest.raises(BackendError, match="does not answer") as found:
                await desk.add("during")
            assert found.value.hint
            server.resume()
            await desk.add("after")
            names = [task.spec.name for task in await desk.all_tasks()]
            assert names[0] == "before"
            assert names.count("during") <= 1
            assert names.count("after") == 1

    async def test_a_pause_shorter_than_our_patience_is_not_noticed(self, new_redis: NewRedis) -> None:
        server = new_redis()
        async with opened(server, answer_ms=400) as backend:
            desk = Desk(backend)
            await desk.join()
            await desk.add("a")
            server.pause()
            job = spawn(desk.claim(), "claim")
            await reached("redis.again")  # the first try has timed out; it was sent, and will be run, all the same
            server.resume()
            (claim,) = await job
            assert [task.lease for task in await desk.all_tasks()] == [claim.lease]
            assert [event.kind.value for event in await desk.events()].count("task.claimed") == 1

    async def test_out_of_memory_refuses_new_work_and_lets_the_old_end(self, new_redis: NewRedis) -> None:
        server = new_redis(maxmemory="50mb")
        async with opened(server) as backend:
            desk = Desk(backend)
            await desk.join()
            await desk.add("a")
            server.ask("CONFIG", "SET", "maxmemory", "1mb")
            with pytest.raises(BackendError, match="maxmemory") as found:
                await desk.add("b")
            assert "out of memory" in found.value.hint
            claim = await desk.take()
            await backend.renew([claim.lease], now=desk.now, ttl_ms=TTL)
            together = await asyncio.gather(desk.add("b"), desk.finish(claim), desk.add("b"), return_exceptions=True)
            assert [isinstance(one, BackendError) for one in together] == [True, False, True]
            assert await desk.states() == {"a": "succeeded"}
            server.ask("CONFIG", "SET", "maxmemory", "50mb")
            await desk.add("b")

    async def test_a_failover_is_followed(self, new_redis: NewRedis) -> None:
        """The address now leads to another server, which was a replica of the first."""
        primary = new_redis()
        async with opened(primary, answer_ms=5000, url=primary.url) as backend:
            desk = Desk(backend)
            await desk.join()
            await desk.add("a")
            claim = await desk.take()
            replica = new_redis(replicaof=primary, directives={"repl-diskless-sync": "yes"})
            await _in_step(primary, replica)
            replica.ask("REPLICAOF", "NO", "ONE")
            port, primary_port = replica.port, primary.port
            primary.kill()
            moved = await asyncio.start_server(_relay_to(port), "127.0.0.1", primary_port)
            try:
                task = await desk.finish(claim)
                assert task.state is State.SUCCEEDED
                assert (await desk.add("b")).seq == 2
            finally:
                await backend.close()
                moved.close()

    async def test_an_answer_that_is_lost_is_not_a_verb_done_twice(self, new_redis: NewRedis) -> None:
        """Claims, ends, events: the script kept what it had answered."""
        server = new_redis()
        async with opened(server) as backend:
            desk = Desk(backend)
            await desk.join()
            await desk.add("a")
            await desk.add("b")
            link = backend._verbs._link
            ask = link.ask
            lost = 0

            async def losing(*command: Any, **more: Any) -> Any:
                nonlocal lost
                answer = await ask(*command, **more)
                if command[0] == "FCALL" and lost % 2 == 0:
                    lost += 1
                    await link.drop()
                    raise ConnectionResetError("cut in the middle of an answer")
                lost += command[0] == "FCALL"
                return answer

            link.ask = losing  # type: ignore[method-assign]
            claims = await desk.claim(2)
            assert len(claims) == 2
            assert (await desk.finish(claims[0])).state is State.SUCCEEDED
            assert lost >= 4
            link.ask = ask  # type: ignore[method-assign]
            kinds = [event.kind.value for event in await desk.events()]
            assert (kinds.count("task.claimed"), kinds.count("task.succeeded")) == (2, 1)


class TestLua(BackendTopic):
    def test_the_library_is_named_for_its_text(self) -> None:
        """Two versions of the program do not take each other's verbs."""
        name = library().text.splitlines()[0].removeprefix("#!lua name=")
        assert {library().takes, library().works} == {f"{name}_takes", f"{name}_works"}
        assert f"'{name}_takes'" in library().text

    async def test_hostile_text_comes_back_as_it_went(self, new_redis: NewRedis) -> None:
        words = ["\x00\x01", "\ud800", "\"]}'--", "ünïcödé 🚢", "\r\n*3\r\n", "a:b:c", "x" * 100_000]
        server = new_redis()
        async with opened(server) as backend:
            desk = Desk(backend)
            await desk.join()
            for number, word in enumerate(words):
                spec = desk.spec(f"t{number}", prompt=word, key=word, env={"A": word}, team=word)
                await desk.submit(spec)
                claim = await desk.take()
                assert claim.task.spec == spec
                outcome = Outcome(OutcomeKind.FAILED, word, word, output=word[:100])
                task = await backend.finish(claim.lease, outcome, now=desk.now)
                assert (task.reason, task.detail, task.output) == (word, word, word[:100])
                assert await backend.get(spec.id) == task
                assert (await desk.events())[-1].data["detail"] == word

    def test_numbers_keep_their_digits(self) -> None:
        desk = Desk(None)  # type: ignore[arg-type]
        spec = desk.spec("a", run_at=1_999_999_999_999, priority=-100, needs=("x",))
        assert spec_to_fields(spec)["run_at"] == 1_999_999_999_999
        row: list[Any] = [False] * 33
        row[0], row[1], row[2], row[23], row[32] = spec.id, "7", "queued", "1999999999999", spec_to_fields(spec)["spec"]
        assert task_from_row(row).created_at == 1_999_999_999_999
        assert task_from_row(row).spec == replace(spec, needs=())


async def _in_step(primary: RedisServer, replica: RedisServer) -> None:
    """The replica has all the primary has."""
    while replica.info("replication").get("master_link_status") != "up":
        await asyncio.to_thread(primary.ask, "WAIT", 1, 100)
    assert await asyncio.to_thread(primary.ask, "WAIT", 1, 5000) == 1


def _relay_to(port: int) -> Any:
    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, back), pump(there, writer), return_exceptions=True)

    return relay

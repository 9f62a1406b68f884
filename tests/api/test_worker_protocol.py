"""Workers that speak HTTP alone: a whole life, nobody in another's name, and nobody's work lost or done twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from lite.aio.tasks import Job, spawn
from lite.api.server.app import build_app
from lite.backends.memory import MemoryBackend
from lite.backends.sqlite import SqliteBackend
from lite.engine.worker_operations import Wanted
from lite.executors.fake import Behaviour
from lite.model.settings import Agent, Secret
from lite.model.task import ClaimRequest, State
from lite.ports import Backend
from tests.support.engines import SETTINGS, Engine
from tests.support.redis_server import RedisServer

AGENTS = {**SETTINGS.agents, "dev": Agent("dev", "scripted", model="m1"), "few": Agent("few", "shell", slots=1)}
NOT_HERE = replace(SETTINGS, slots=0, agents=AGENTS)  # the supervisor runs nothing itself
TTL = SETTINGS.lease_ms
PROMPT: dict[str, Any] = {"agent": "dev", "command": (), "prompt": "say {{ needs.one.output }}"}


class Kept:
    """A backend that outlives the supervisors before it."""

    def __init__(self, backend: Backend) -> None:
        self.real = backend

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


class Site:
    """A supervisor and its API, without a socket."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        app: Any = build_app(engine.operations)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://qd", timeout=60)
        self.tokens: dict[str, str] = {}

    async def ask(self, method: str, path: str, body: Any = None, *, by: str = "", token: str = "") -> httpx.Response:
        token = token or self.tokens.get(by, "")
        headers = {"X-Worker-Token": token} if token else {}
        content = None if body is None else json.dumps(body).encode()  # ASCII: also what is no Unicode
        return await self.http.request(method, f"/v1/{path}", content=content, headers=headers)

    async def join(self, worker: str = "far", **fields: Any) -> dict[str, Any]:
        answered = await self.ask("POST", "workers", {"id": worker, "agents": ["shell", "dev"], **fields}, by=worker)
        assert answered.status_code == 201, answered.text
        self.tokens[worker] = answered.json()["token"]
        row: dict[str, Any] = answered.json()["worker"]
        return row

    async def claim(self, worker: str = "far", **fields: Any) -> list[dict[str, Any]]:
        answered = await self.ask("POST", f"workers/{worker}/leases", fields, by=worker)
        assert answered.status_code == 200, answered.text
        leases: list[dict[str, Any]] = answered.json()
        return leases

    async def take(self, worker: str = "far") -> dict[str, Any]:
        (lease,) = await self.claim(worker)
        return {"worker": worker, "task": lease["task"], "token": lease["token"]}

    async def say(self, verb: str, lease: dict[str, Any], **fields: Any) -> httpx.Response:
        return await self.ask("POST", f"leases/{verb}", {**lease, **fields}, by=lease["worker"])

    async def end(self, lease: dict[str, Any], kind: str = "succeeded", **fields: Any) -> dict[str, Any]:
        answered = await self.say("finish", lease, kind=kind, **fields)
        assert answered.status_code == 200, answered.text
        task: dict[str, Any] = answered.json()
        return task

    async def renew(self, *leases: dict[str, Any], by: str = "far") -> list[dict[str, Any]]:
        asked = [{"task": one["task"], "token": one["token"]} for one in leases]
        answered = await self.ask("POST", "leases/renew", {"worker": by, "leases": asked}, by=by)
        assert answered.status_code == 200, answered.text
        renewals: list[dict[str, Any]] = answered.json()
        return renewals


Start = Callable[..., Awaitable[Site]]


def code(answered: httpx.Response) -> tuple[int, str]:
    return answered.status_code, answered.json()["error"]["code"]


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kept]:
    backend: Backend
    if request.param == "memory":
        backend = MemoryBackend()
    elif request.param == "sqlite":
        backend = SqliteBackend(tmp_path / "q.db")
    else:
        from lite.backends.redis import RedisBackend

        server, prefix = request.getfixturevalue("redis_server"), request.getfixturevalue("redis_prefix")
        backend = RedisBackend(server.options(prefix))
    await backend.open()
    yield Kept(backend)
    await backend.close()


@pytest.fixture
async def start(kept: Kept, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Start]:
    """The supervisor as this backend has it: alone, or (Redis) one of a fleet; the next one on the same machine."""
    sites: list[Site] = []
    alone = "redis" not in request.node.callspec.id

    async def begin(script: Any = None, settings: Any = NOT_HERE) -> Site:
        if sites:
            engine = sites[-1].engine.again(f"w{len(sites) + 1}" if alone else "w1")
        else:
            engine = Engine(kept, tmp_path / "home", script, settings, alone=alone)  # type: ignore[arg-type]
        site = Site(await engine.start())
        if sites:
            site.tokens = sites[-1].tokens
        sites.append(site)
        return site

    yield begin
    for site in sites:
        await site.http.aclose()
        await site.engine.close()


@pytest.fixture
async def site(start: Start) -> Site:
    return await start()


async def later(site: Site, seconds: float) -> None:
    await site.engine.clock.advance(seconds)
    await site.engine.settle()


async def asleep(site: Site, claim: Job) -> None:
    """Until that claim waits."""
    turns = site.engine.operations.worker_protocol._turns
    for _ in range(500):
        await site.engine.settle()
    assert turns
    assert not claim.done()


async def test_a_whole_life(site: Site) -> None:
    row = await site.join(node="box", slots=2, labels={"gpu": "1"}, version="9")
    assert (row["state"], row["slots"], row["agents"], row["labels"]) == (
        "idle", 2, ["shell", "dev"], {"node": "box", "gpu": "1"},
    )  # fmt: skip
    first = await site.engine.submit("one")
    await site.engine.submit("two", needs=(first.id,), **PROMPT, env={"A": "b"}, cwd="/x")
    lease = await site.take()
    started = await site.say("record", lease, started=True, handle="pid 7", provider_session="c1")
    assert (started.json()["state"], started.json()["started_at"]) == ("running", site.engine.clock.now())
    assert (await site.ask("POST", "workers/far/heartbeat", {"load": 0.5}, by="far")).json()["state"] == "busy"
    ended = await site.end(lease, output="hello", exit_code=0, usage={"tokens_in": 3, "cost_usd": 0.25})
    assert (ended["state"], ended["output"], ended["exit_code"]) == ("succeeded", "hello", 0)
    assert (ended["tokens_in"], ended["cost_usd"], ended["cost_source"]) == (3, 0.25, "reported")
    (given,) = await site.claim()
    assert (given["prompt"], given["needs"], given["cwd"]) == ("say hello", {"one": "hello"}, "/x")
    assert given["env"] == {
        "A": "b",
        "QD_TASK": given["task"],
        "QD_ATTEMPT": "1",
        "QD_SESSION": f"{given['task']}-1",
        "QD_IDEMPOTENCY_KEY": given["task"],
    }
    assert given["secrets"] == {}
    assert (given["command"], given["ttl_ms"], given["attempt"], given["model"]) == ([], TTL, 1, "m1")
    await site.end({"worker": "far", "task": given["task"], "token": given["token"]})
    assert (await site.ask("DELETE", "workers/far", by="far")).status_code == 200
    assert code(await site.ask("POST", "workers/far/heartbeat", by="far")) == (404, "not-found")
    assert [one.id for one in await site.engine.operations.workers()] == ["w1"]
    assert (await site.engine.history("one"))[-3:] == ["task.claimed", "task.started", "task.succeeded"]


async def test_secrets_are_handed_out_by_name(site: Site) -> None:
    """Values are fetched by whoever runs a task, and known to nobody else."""
    site.engine.context.settings = replace(site.engine.context.settings, secrets={"vault": Secret(env="X")})
    await site.join()
    await site.engine.submit("a", secrets={"TOKEN": "vault"})
    (given,) = await site.claim()
    assert given["secrets"] == {"TOKEN": "vault"}
    assert "TOKEN" not in given["env"]


async def test_nobody_speaks_in_the_name_of_another(site: Site) -> None:
    await site.join("far")
    await site.join("near")
    await site.engine.submit("a")
    lease = await site.take("far")
    for token in ("", "x", site.tokens["near"]):
        for method, path, body in (
            ("POST", "workers/far/heartbeat", None),
            ("POST", "workers/far/leases", None),
            ("GET", "workers/far/leases", None),
            ("DELETE", "workers/far", None),
            ("POST", "leases/renew", {"worker": "far", "leases": []}),
            ("POST", "leases/record", lease),
            ("POST", "leases/finish", {**lease, "kind": "succeeded"}),
        ):
            assert code(await site.ask(method, path, body, token=token)) == (403, "wrong-token"), path
    # in its own name it cannot touch what another holds, though it knows the numbers
    stolen = {**lease, "worker": "near"}
    assert code(await site.say("finish", stolen, kind="succeeded")) == (409, "lease-lost")
    assert code(await site.say("record", stolen, started=True)) == (409, "lease-lost")
    assert [one["lost"] for one in await site.renew(stolen, by="near")] == [True]
    assert site.engine.supervisor.sessions.fenced_writes == 3
    assert (await site.end(lease))["state"] == "succeeded"
    assert code(await site.say("finish", lease, kind="failed")) == (409, "lease-lost")  # one outcome


async def test_the_id_of_a_living_worker_is_taken(site: Site) -> None:
    await site.join("far")
    token, body = site.tokens["far"], {"id": "far", "agents": ["shell"], "slots": 3}
    for wrong in ("", "guess"):
        assert code(await site.ask("POST", "workers", body, token=wrong)) == (409, "illegal-state")
    again = await site.ask("POST", "workers", body, by="far")
    assert (again.json()["token"], again.json()["worker"]["slots"]) == (token, 3)
    # nor that of one that reaches the backend itself, whatever is shown, dead or alive
    for shown in ("", token):
        assert code(await site.ask("POST", "workers", {**body, "id": "w1"}, token=shown)) == (409, "illegal-state")
    assert code(await site.ask("POST", "workers/w1/heartbeat", token=token)) == (403, "wrong-token")
    await later(site, TTL / 1000 + 1)  # silent: it goes to who asks, and the old token is worth nothing
    del site.tokens["far"]
    await site.join("far", slots=1)
    assert site.tokens["far"] != token
    assert code(await site.ask("POST", "workers/far/heartbeat", token=token)) == (403, "wrong-token")
    shown_to_all = (await site.http.get("/v1/workers")).text
    assert token not in shown_to_all
    assert "access" not in shown_to_all


async def test_it_gets_no_more_than_its_slots_its_agents_and_their_caps(site: Site) -> None:
    await site.join("far", agents=["few", "shell"], slots=3)
    for name in ("a", "b"):
        await site.engine.submit(name, agent="few")
    for name in ("c", "d", "e"):
        await site.engine.submit(name)
    first = await site.claim(limit=9, agents={"few": 5})
    assert [one["name"] for one in first] == ["a"]  # as configured, whatever it says
    assert await site.claim(limit=9, agents={"shell": 0}) == []
    assert [one["name"] for one in await site.claim(limit=9)] == ["c", "d"]
    assert await site.claim(limit=1) == []  # all three taken
    answered = await site.ask("POST", "workers/far/leases", {"agents": {"http": None}}, by="far")
    assert code(answered) == (400, "usage")
    held = (await site.ask("GET", "workers/far/leases", by="far")).json()
    assert [one["name"] for one in held] == ["a", "c", "d"]
    assert [(one["task"], one["token"]) for one in held[:1]] == [(one["task"], one["token"]) for one in first]
    await site.end({"worker": "far", "task": held[0]["task"], "token": held[0]["token"]})
    await site.http.post("/v1/workers/far/cordon")
    assert await site.claim() == []
    assert (await site.ask("POST", "workers/far/heartbeat", by="far")).json()["state"] == "draining"


async def test_retries_and_their_back_off_are_the_fleets(site: Site) -> None:
    await site.join()
    await site.engine.submit("a", retries=1)
    now = site.engine.clock.now()
    lease = await site.take()
    failed = await site.end(lease, "failed", exit_code=3)
    assert (failed["state"], failed["reason"], failed["failures"], failed["run_at"]) == (
        "queued",
        "retry",
        1,
        now + 1000,
    )
    assert await site.claim() == []
    await later(site, 1.1)
    broken = await site.end(await site.take(), "unexecutable", detail="no disk")
    assert (broken["state"], broken["faults"], broken["failures"]) == ("queued", 1, 1)
    await later(site, 1.1)
    parked = await site.end(await site.take(), "rescheduled", delay_ms=60_000)
    assert (parked["reason"], parked["run_at"]) == ("parked", site.engine.clock.now() + 60_000)
    await later(site, 60)
    last = await site.end(await site.take(), "failed", reason="timeout", signal=9)
    assert (last["state"], last["reason"], last["signal"], last["attempt"]) == ("failed", "timeout", 9, 4)


async def test_what_the_session_waits_for_and_a_cancel_reach_the_other_side(site: Site) -> None:
    await site.join()
    task = await site.engine.submit("a")
    lease = await site.take()
    asked = (await site.say("record", lease, waiting={"text": "Which one?"})).json()["waiting"]
    assert (asked["kind"], asked["text"], asked["id"][:-8]) == ("question", "Which one?", f"{task.id}-1-")
    assert (await site.say("record", lease, answered=True)).json()["waiting"] is None
    await site.engine.operations.cancel(task.id)
    (renewal,) = await site.renew(lease)
    assert (renewal["cancel"], renewal["lost"], renewal["expires_at"]) == ("user", False, site.engine.clock.now() + TTL)
    assert (await site.end(lease, "cancelled"))["state"] == "cancelled"


async def test_an_outcome_too_large_is_refused_and_can_be_told_again(site: Site) -> None:
    await site.join()
    await site.engine.submit("a")
    lease = await site.take()
    answered = await site.say("finish", lease, kind="succeeded", output="x" * 65537)
    assert code(answered) == (413, "output-too-large")
    assert (await site.end(lease, output="x" * 65536))["state"] == "succeeded"


async def test_a_task_that_cannot_be_asked_for_ends_instead_of_going_round(site: Site) -> None:
    await site.join()
    first = await site.engine.submit("one")
    await site.engine.submit("two", needs=(first.id,), **PROMPT)
    await site.end(await site.take())
    assert await site.claim() == []
    two = await site.engine.task("two")
    assert (two.state, two.reason) == (State.FAILED, "launch")


# waiting for work


async def test_a_claim_waits_for_work_and_no_longer_than_asked(site: Site) -> None:
    await site.join()
    waiting = spawn(site.claim(wait_ms=5000), "claim")
    await asleep(site, waiting)
    await site.engine.submit("a")
    (lease,) = await asyncio.wait_for(waiting, 30)
    await site.end({"worker": "far", "task": lease["task"], "token": lease["token"]})
    waiting = spawn(site.claim(wait_ms=5000), "claim")
    await asleep(site, waiting)
    await later(site, 5.1)
    assert await asyncio.wait_for(waiting, 30) == []
    waiting = spawn(site.claim(wait_ms=30_000), "claim")  # its own ttl is 15 s
    await asleep(site, waiting)
    await later(site, 7.6)
    assert await asyncio.wait_for(waiting, 30) == []


async def test_a_claim_wakes_when_a_delayed_task_is_due(site: Site) -> None:
    await site.join()
    await site.engine.submit("a", delay_ms=2000)
    waiting = spawn(site.claim(wait_ms=7000), "claim")
    await asleep(site, waiting)
    await later(site, 2.1)
    assert [one["name"] for one in await asyncio.wait_for(waiting, 30)] == ["a"]


async def test_who_asks_again_ends_its_wait_from_before(site: Site) -> None:
    await site.join()
    first = spawn(site.claim(wait_ms=5000), "claim")
    await asleep(site, first)
    second = spawn(site.claim(wait_ms=5000), "claim")
    assert await asyncio.wait_for(first, 30) == []
    await asleep(site, second)
    await site.engine.submit("a")
    assert len(await asyncio.wait_for(second, 30)) == 1
    assert not site.engine.operations.worker_protocol._turns


async def test_nothing_is_taken_for_who_has_hung_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    await site.join()
    protocol = site.engine.operations.worker_protocol
    gone, closing = asyncio.Event(), asyncio.Event()
    waiting = spawn(
        protocol.claim("far", site.tokens["far"], Wanted(wait_ms=5000), gone=gone, closing=closing), "claim"
    )
    await asleep(site, waiting)
    gone.set()
    assert await asyncio.wait_for(waiting, 30) == []
    await site.engine.submit("a")
    assert (await site.engine.task("a")).state is State.QUEUED

    late, real = asyncio.Event(), site.engine.context.backend.claim

    async def hangs_up_meanwhile(request: ClaimRequest, *, now: int) -> Any:
        claims = await real(request, now=now)
        late.set()
        return claims

    monkeypatch.setattr(site.engine.context.backend, "claim", hangs_up_meanwhile, raising=False)
    assert await protocol.claim("far", site.tokens["far"], Wanted(), gone=late, closing=closing) == []
    task = await site.engine.task("a")
    assert (task.state, task.attempt, task.faults, task.failures) == (State.QUEUED, 1, 0, 0)
    monkeypatch.undo()
    assert len(await site.claim()) == 1


@pytest.mark.parametrize("kept", ["redis"], indirect=True)
async def test_those_who_come_and_go_leave_no_connection_behind(site: Site, redis_server: RedisServer) -> None:
    def connections() -> int:
        return len(redis_server.ask("CLIENT", "LIST").splitlines())

    before = 0
    for round_ in range(4):
        name = f"far{round_}"
        await site.join(name)
        waiting = spawn(site.claim(name, wait_ms=5000), "claim")
        await asleep(site, waiting)
        await site.engine.submit(f"a{round_}")
        (lease,) = await asyncio.wait_for(waiting, 30)
        await site.end({"worker": name, "task": lease["task"], "token": lease["token"]})
        assert (await site.ask("DELETE", f"workers/{name}", by=name)).status_code == 200
        before = before or connections()
    assert connections() == before


async def test_a_stopping_supervisor_hands_nothing_out(site: Site) -> None:
    await site.join()
    await site.engine.submit("a")
    site.engine.supervisor.ask_stop(keep_sessions=True)
    assert await site.claim(wait_ms=5000) == []
    assert (await site.engine.task("a")).state is State.QUEUED


# leases that run out


async def test_the_lease_of_one_that_fell_silent_is_rescued_and_its_late_word_refused(site: Site) -> None:
    await site.join("far")
    await site.join("near")
    await site.engine.submit("a")
    lease = await site.take("far")
    # a handle that names an executor of ours must not be followed there
    assert (await site.say("record", lease, started=True, handle="fake:s1")).status_code == 200
    assert site.engine.context.split_handle((await site.engine.task("a")).handle)[0] is None
    assert [one["handle"] for one in (await site.ask("GET", "workers/far/leases", by="far")).json()] == ["fake:s1"]
    at = site.engine.clock.now()

    async def queued() -> bool:
        return (await site.engine.task("a")).state is State.QUEUED

    await site.engine.until(queued, step=0.5)
    assert site.engine.clock.now() - at >= 2 * TTL  # it ran out, and stayed silent for as long again
    task = await site.engine.task("a")
    assert (task.faults, task.failures, task.reason) == (1, 0, "lost")
    await later(site, 2)
    await site.join("near")
    new = await site.take("near")
    assert code(await site.say("finish", lease, kind="succeeded", output="late")) == (409, "lease-lost")
    assert (await site.renew(lease))[0]["lost"]
    ended = await site.end(new, output="mine")
    assert (ended["output"], ended["attempt"]) == ("mine", 2)


async def test_renewed_in_time_a_lease_lives_for_ever(site: Site) -> None:
    await site.join()
    await site.engine.submit("a")
    lease = await site.take()
    for _ in range(20):
        await later(site, TTL / 1000 * 0.8)
        (renewal,) = await site.renew(lease)
        assert not renewal["lost"]
    assert (await site.end(lease))["attempt"] == 1


async def test_a_restart_of_the_supervisor_takes_no_living_lease(start: Start) -> None:
    """Its own sessions it takes back at once; what runs elsewhere it has no evidence against."""
    site = await start({"mine": Behaviour(hangs=True)}, replace(SETTINGS, slots=1))
    await site.engine.submit("mine")
    await site.engine.until_started("mine")
    await site.join("far")
    await site.join("silent")
    await site.engine.submit("a")
    await site.engine.submit("b")
    lease, other = await site.take("far"), await site.take("silent")
    await site.engine.crash()
    again = await start()
    mine, a, b = [await again.engine.task(name) for name in ("mine", "a", "b")]
    assert mine.worker == again.engine.context.worker
    assert mine.attempt == 1
    assert (a.lease and a.lease.token, a.worker, b.worker) == (lease["token"], "far", "silent")
    assert {one.id for one in await again.engine.operations.workers()} >= {"far", "silent"}
    for _ in range(5):
        await later(again, TTL / 1000 * 0.6)
        assert not (await again.renew(lease))[0]["lost"]
        assert (await again.ask("POST", "workers/far/heartbeat", by="far")).status_code == 200
    assert (await again.end(lease, output="x"))["state"] == "succeeded"

    async def lost() -> bool:
        return (await again.engine.task("b")).faults == 1

    await again.engine.until(lost, step=0.5)
    assert code(await again.say("finish", other, kind="succeeded")) == (409, "lease-lost")

    async def forgotten() -> bool:
        return "silent" not in {one.id for one in await again.engine.operations.workers()}

    await again.engine.until(forgotten, step=1)


# what is sent

HELD = {"worker": "far", "task": "t", "token": 1}
WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("workers", {"id": "a b", "agents": ["x"]}, "id"),
    ("workers", {"id": "a:b", "agents": ["x"]}, "id"),
    ("workers", {"id": "a\n", "agents": ["x"]}, "id"),
    ("workers", {"id": "x" * 73, "agents": ["x"]}, "id"),
    ("workers", {"id": "a", "agents": []}, "agents"),
    ("workers", {"id": "a", "agents": ["x y"]}, "agents[0]"),
    ("workers", {"id": "a", "agents": ["x"] * 201}, "agents"),
    ("workers", {"id": "a", "agents": ["x"], "slots": 0}, "slots"),
    ("workers", {"id": "a", "agents": ["x"], "slots": True}, "slots"),
    ("workers", {"id": "a", "agents": ["x"], "ttl_ms": 10}, "ttl_ms"),
    ("workers", {"id": "a", "agents": ["x"], "address": "file:///etc"}, "address"),
    ("workers", {"id": "a", "agents": ["x"], "executors": ["fake"]}, "executors[0]"),
    ("workers", {"id": "a", "agents": ["x"], "labels": {"k": "\x1b[2J"}}, "labels.k"),
    ("workers", {"id": "a", "agents": ["x"], "access": "x"}, "access"),
    ("workers", {"agents": ["x"]}, "id"),
    ("workers/far/heartbeat", {"load": -1}, "load"),
    ("workers/far/leases", {"limit": 0}, "limit"),
    ("workers/far/leases", {"wait_ms": 30_001}, "wait_ms"),
    ("workers/far/leases", {"ttl_ms": 1 << 40}, "ttl_ms"),
    ("leases/renew", {"worker": "far", "leases": [{"task": "t", "token": 1}] * 1001}, "leases"),
    ("leases/renew", {"worker": "far", "leases": [{"task": "t"}]}, "leases[0].token"),
    ("leases/renew", {"worker": "far", "leases": [{"task": "t\0", "token": 1}]}, "task"),
    ("leases/record", {"worker": "far", "task": "t", "token": 1 << 60}, "token"),
    ("leases/record", {**HELD, "handle": "x" * 201}, "handle"),
    ("leases/record", {**HELD, "waiting": {"text": "?"}, "answered": True}, "answered"),
    ("leases/finish", {**HELD, "kind": "retry"}, "kind"),
    ("leases/finish", {**HELD, "kind": "failed", "reason": "poison"}, "reason"),
    ("leases/finish", {**HELD, "kind": "failed", "delay_ms": 1}, "delay_ms"),
    ("leases/finish", {**HELD, "kind": "failed", "detail": "a\0"}, "detail"),
    ("leases/finish", {**HELD, "kind": "failed", "output": "\ud800"}, "output"),
    ("leases/finish", {**HELD, "kind": "failed", "usage": {"cost_usd": 1e300}}, "usage.cost_usd"),
]


@pytest.mark.parametrize("kept", ["memory"], indirect=True)
async def test_what_is_not_of_the_protocol_is_refused_by_its_place(site: Site) -> None:
    await site.join()
    for path, body, place in WRONG:
        answered = await site.ask("POST", path, body, by="far")
        assert code(answered) == (400, "usage"), (path, body)
        assert answered.json()["error"]["place"] == place, (path, body)
    assert code(await site.say("finish", HELD, kind="failed")) == (
        409,
        "lease-lost",
    )
    assert {one.id for one in await site.engine.operations.workers()} == {"w1", "far"}

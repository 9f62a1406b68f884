"""Who has a session, and that nobody but that worker is asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lite.backends.memory import MemoryBackend
from lite.engine import remote
from lite.engine.questions import Answer
from lite.engine.remote import RemoteRecording, RemoteTranscript
from lite.engine.session_operations import SendResult
from lite.errors import NotFound, PeerUnavailable, SessionRefused
from lite.model.session import Activity, Inspection, Status, session_id
from lite.model.task import ClaimRequest, Lease, Outcome, OutcomeKind, Progress, Task
from lite.model.worker import Worker
from lite.ports import TerminalStream
from lite.terminal.packets import Packet
from tests.support.engines import Engine

TTL = 10_000_000


class FakePeers:
    """`has`: worker -> its sessions; `silent` ones cannot be reached, `hung` ones never answer."""

    def __init__(self) -> None:
        self.has: dict[str, dict[str, Inspection]] = {}
        self.silent: set[str] = set()
        self.hung: set[str] = set()
        self.asked: list[tuple[str, str, str]] = []

    async def inspect(self, worker: Worker, session: str) -> Inspection:
        self.asked.append(("inspect", worker.id, session))
        if worker.id in self.hung:
            await asyncio.Event().wait()
        if worker.id in self.silent:
            raise PeerUnavailable(f"not available: {worker.id} is silent")
        if session not in self.has.get(worker.id, {}):
            raise NotFound(f"no session {session!r}")
        return self.has[worker.id][session]

    async def send(self, worker: Worker, session: str, data: bytes) -> tuple[bool, str]:
        self.asked.append(("send", worker.id, session))
        if worker.id in self.silent:
            raise PeerUnavailable(f"not available: {worker.id} is silent")
        return data != b"no", "" if data != b"no" else "refused there"

    async def answer(self, worker: Worker, session: str, said: Mapping[str, str]) -> tuple[str, str]:
        self.asked.append((f"answer {said['id']} {said['decision']}", worker.id, session))
        return ("queued", "not confirmed") if said["id"] == "q1" else ("refused", "refused there")

    async def attach(self, worker: Worker, session: str, *, control: bool, offset: int | None = None) -> TerminalStream:
        self.asked.append((f"attach {control} {offset}", worker.id, session))
        return "a stream"  # type: ignore[return-value]

    async def recording(
        self, worker: Worker, session: str, offset: int, *, follow: bool
    ) -> AsyncGenerator[Packet, None]:
        self.asked.append(("recording", worker.id, session))
        yield 0x82, b""

    async def transcript(
        self, worker: Worker, session: str, offset: int, *, follow: bool
    ) -> AsyncGenerator[Packet, None]:
        self.asked.append((f"transcript {offset} {follow}", worker.id, session))
        yield 0x82, b"said"

    async def cast(self, worker: Worker, session: str, version: int) -> AsyncGenerator[bytes, None]:
        yield b""


class Scene:
    """An orchestrator `w1`, and workers that exist in the registry and in `peers` only."""

    def __init__(self, engine: Engine, peers: FakePeers) -> None:
        self.engine, self.peers = engine, peers
        self.backend = engine.context.backend
        self.operations = engine.operations

    async def worker(self, name: str) -> None:
        await self.backend.register(Worker(name, "n", 4, address="http://h:1"), now=self.engine.clock.now())

    async def claimed(self, name: str, by: str) -> tuple[str, Lease]:
        task: Task = await self.engine.submit(name)
        asked = ClaimRequest(by, 1, {"shell": None}, TTL)
        (claim,) = await self.backend.claim(asked, now=self.engine.clock.now())
        assert claim.task.id == task.id
        await self.backend.record(claim.lease, Progress(handle="fake:1:x", started=True), now=self.engine.clock.now())
        return session_id(task.id, claim.lease.attempt), claim.lease

    async def finish(self, lease: Lease) -> None:
        outcome = Outcome(OutcomeKind.SUCCEEDED, exit_code=0)
        await self.backend.finish(lease, outcome, now=self.engine.clock.now())


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    engine = Engine(MemoryBackend(), tmp_path / "home", alone=False, role="orchestrator")
    peers = FakePeers()
    engine.context.peers = peers
    await engine.start()
    made = Scene(engine, peers)
    for name in ("w2", "w3"):
        await made.worker(name)
    yield made
    await engine.close()


STATUS = Status(Activity.WAITING, "terminal", "osc7501", 5, "Sure?")
SEEN = Inspection(True, 7, offset=9, status=STATUS, cols=80, rows=24, start=3)


async def test_a_running_session_is_asked_for_at_the_holder_of_its_lease(scene: Scene) -> None:
    session, _ = await scene.claimed("a", "w2")
    scene.peers.has["w2"] = {session: SEEN}
    ask = scene.operations
    assert await ask.inspect(session) == SEEN
    for ref in (session, session.rpartition("-")[0], "a"):
        offer = await ask.attach(ref, control=True, local=True)
        assert (offer.session, offer.address, offer.worker, offer.cols, offer.rows) == (session, "", "w2", 80, 24)
    assert await ask.open_stream(offer.ticket, offset=4) == "a stream"
    with pytest.raises(SessionRefused):
        await ask.open_stream(offer.ticket, offset=4)
    assert (await ask.send("a", b"x")).result == "delivered"
    assert await ask.send(session, b"no") == SendResult("refused", "refused there")
    found = await ask.find_recording(session)
    assert isinstance(found, RemoteRecording)
    assert (found.worker.id, found.start) == ("w2", 3)
    assert {worker for _, worker, _ in scene.peers.asked} == {"w2"}
    assert ("attach True 4", "w2", session) in scene.peers.asked


async def test_a_transcript_elsewhere_is_asked_for_where_the_session_is(scene: Scene) -> None:
    session, _ = await scene.claimed("a", "w2")
    scene.peers.has["w2"] = {session: SEEN}
    with pytest.raises(NotFound, match="no transcript"):
        await scene.operations.find_transcript(session)
    scene.peers.has["w2"] = {session: replace(SEEN, transcript=0)}
    with pytest.raises(NotFound):
        await scene.operations.find_transcript(session, here=True)
    found = await scene.operations.find_transcript(session)
    assert isinstance(found, RemoteTranscript)
    assert [packet async for packet in found.play(7, follow=True)] == [(0x82, b"said")]
    assert scene.peers.asked[-1] == ("transcript 7 True", "w2", session)
    scene.peers.silent.add("w2")
    with pytest.raises(PeerUnavailable):
        await scene.operations.find_transcript(session)


async def test_on_behalf_of_another_worker_nobody_is_asked(scene: Scene) -> None:
    """Else two that take each other for the holder would ask each other for ever."""
    session, lease = await scene.claimed("a", "w2")
    scene.peers.has["w2"] = {session: SEEN}
    ask = scene.operations

    async def all_of_them() -> None:
        calls: list[Any] = [ask.inspect(session, here=True), ask.find_recording(session, here=True)]
        calls.append(ask.attach(session, control=True, local=False, here=True))
        for call in calls:
            with pytest.raises(NotFound):
                await call

    await all_of_them()
    with pytest.raises(NotFound):
        await ask.send(session, b"x", here=True)
    await scene.finish(lease)
    await all_of_them()
    assert scene.peers.asked == []


async def test_an_ended_session_is_sought_where_it_was_last_then_where_it_began(scene: Scene) -> None:
    session, lease = await scene.claimed("a", "w2")
    rescued = await scene.backend.rescue(lease, "w3", now=scene.engine.clock.now(), ttl_ms=TTL)
    await scene.finish(rescued.lease)
    ended = Inspection(False, offset=9)
    scene.peers.has["w2"] = {session: ended}
    assert await scene.operations.inspect(session) == ended
    assert [worker for _, worker, _ in scene.peers.asked] == ["w3", "w2"]
    scene.peers.silent.add("w2")  # the one that may have it: to say it is nowhere would be a lie
    with pytest.raises(PeerUnavailable):
        await scene.operations.find_recording(session)
    scene.peers.silent.clear()
    scene.peers.has.clear()
    with pytest.raises(NotFound):
        await scene.operations.find_recording(session)
    with pytest.raises(SessionRefused) as refused:
        await scene.operations.attach(session, control=True, local=True)
    assert "succeeded" in refused.value.message


async def test_each_attempt_is_asked_for_where_it_ran(scene: Scene) -> None:
    first, lease = await scene.claimed("a", "w2")
    outcome = Outcome(OutcomeKind.RESCHEDULED, "shutdown")
    await scene.backend.finish(lease, outcome, now=scene.engine.clock.now())
    asked = ClaimRequest("w3", 1, {"shell": None}, TTL)
    (claim,) = await scene.backend.claim(asked, now=scene.engine.clock.now())
    second = session_id(claim.task.id, claim.lease.attempt)
    scene.peers.has = {"w2": {first: Inspection(False)}, "w3": {second: SEEN}}
    assert await scene.operations.inspect(first) == Inspection(False)
    assert await scene.operations.inspect(second) == SEEN
    assert scene.peers.asked == [("inspect", "w2", first), ("inspect", "w3", second)]


async def test_who_is_silent_or_has_left_is_named(scene: Scene) -> None:
    session, _ = await scene.claimed("a", "w2")
    scene.peers.silent.add("w2")
    for call in (
        scene.operations.attach(session, control=True, local=True),
        scene.operations.send("a", b"x"),
        scene.operations.find_recording(session),
        scene.operations.inspect(session),
    ):
        with pytest.raises(PeerUnavailable) as gone:
            await call
        assert gone.value.message == "not available: w2 is silent"
    await scene.backend.deregister("w2", now=1)
    with pytest.raises(PeerUnavailable) as left:
        await scene.operations.find_recording(session)
    assert left.value.message == "not available: worker w2 has left the fleet"
    scene.engine.context.peers = None
    with pytest.raises(PeerUnavailable):
        await scene.operations.attach(session, control=True, local=True)


async def test_explain_has_the_evidence_or_goes_without(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    session, _ = await scene.claimed("a", "w2")
    scene.peers.has["w2"] = {session: SEEN}
    assert "it says: Sure?" in (await scene.operations.explain("a")).facts
    monkeypatch.setattr(remote, "_STATUS_SECONDS", 0.01)
    for names in (scene.peers.hung, scene.peers.silent):
        names.add("w2")
        async with asyncio.timeout(20):
            assert "it says: Sure?" not in (await scene.operations.explain("a")).facts
        names.clear()
    assert scene.operations.status_of(await scene.engine.task("a")) is None


async def test_lists_ask_nobody(scene: Scene) -> None:
    session, _ = await scene.claimed("a", "w2")
    scene.peers.has["w2"] = {session: SEEN}
    assert scene.operations.status_of(await scene.engine.task("a")) is None
    assert scene.peers.asked == []


@pytest.mark.parametrize("ref", ["{task}-0", "{task}-2", "{task}-01", "{task}-x", "{task}-", "../{task}-1", "x-1", ""])
async def test_what_is_no_session(scene: Scene, ref: str) -> None:
    session, _ = await scene.claimed("a", "w2")
    wrong = ref.format(task=session.rpartition("-")[0])
    for call in (scene.operations.inspect(wrong), scene.operations.find_recording(wrong)):
        with pytest.raises(NotFound):
            await call
    assert scene.peers.asked == []


async def test_an_answer_goes_to_the_worker_that_has_the_question_and_its_word_comes_back(scene: Scene) -> None:
    session, _ = await scene.claimed("a", "w2")
    assert await scene.operations.answer("a", Answer("q1", "allow")) == SendResult("queued", "not confirmed")
    assert await scene.operations.answer(session, Answer("q2", "deny")) == SendResult("refused", "refused there")
    assert scene.peers.asked == [("answer q1 allow", "w2", session), ("answer q2 deny", "w2", session)]
    with pytest.raises(NotFound):
        await scene.operations.answer(session, Answer("q1", "allow"), here=True)

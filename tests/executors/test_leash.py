"""How long a session may go on without a word: the holder's reckoning, and who may tell it."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

import pytest

from lite.aio.tasks import Jobs
from lite.executors import leash as module
from lite.executors.leash import Leash
from lite.executors.local.handle import Handle
from lite.executors.local.link import Link
from lite.model.task import Outcome, OutcomeKind, Reason
from lite.terminal import packets
from tests.executors.sessions import Desk, ended, finish, read_kind


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Its one item is the time since boot, in ms."""
    now = [1000]
    monkeypatch.setattr(module, "boot_ms", lambda: now[0])
    return now


def test_never_told_it_waits_for_nothing(clock: list[int]) -> None:
    leash = Leash()
    clock[0] = 10**12
    assert not leash.ran_out()
    assert (leash.patience(None), leash.patience(7.0)) == (None, 7.0)


def test_it_runs_out_once_and_says_for_how_long_nobody_came(clock: list[int]) -> None:
    leash = Leash()
    leash.keep(3000)
    clock[0] = 2500
    leash.keep(4500)
    clock[0] = 4499
    assert not leash.ran_out()
    clock[0] = 4500
    assert leash.ran_out()
    assert leash.why == "its lease ran out: nobody renewed it for 2 s"
    leash.keep(9000)  # too late
    assert leash.over
    assert not leash.ran_out()
    assert leash.patience(None) is None  # nothing more to wake for


def test_it_wakes_in_time_and_now_and_then_for_a_machine_that_was_suspended(clock: list[int]) -> None:
    leash = Leash()
    leash.keep(1000 + 3_600_000)
    assert leash.patience(None) == 5.0
    assert leash.patience(0.5) == 0.5
    clock[0] += 3_598_000
    assert leash.patience(None) == 2.0
    clock[0] += 10**9
    assert leash.patience(None) == 0.0
    assert leash.ran_out()


async def test_only_a_supervisor_may_say_it(desk: Desk) -> None:
    executor, handle = await desk.run("sleep", "600")
    for control in (True, False):
        stream = await executor.attach(handle, control=control, offset=packets.END)
        await stream.write((packets.KEEP, packets.keep(0)[5:]))
        await stream.write((packets.INSPECT, b""))
        await read_kind(stream, packets.INFO)  # the holder has read what came before it
        await stream.aclose()
    assert (await executor.inspect(handle)).alive
    assert (await finish(executor, handle)).reason == Reason.SIGNAL


@pytest.mark.parametrize("payload", [b"", b"\0" * 7, b"\0" * 9])
async def test_a_malformed_one_ends_the_connection_and_not_the_session(desk: Desk, payload: bytes) -> None:
    executor, handle = await desk.run("sleep", "600")
    link = executor._links[handle]
    assert link._writer is not None
    link._writer.write(packets.encode(packets.KEEP, payload))
    second = await desk.executor()
    await second.recover(handle, 2)
    assert (await second.inspect(handle)).alive
    await finish(second, handle)


async def test_a_program_that_ends_before_its_lease_ends_as_ever(desk: Desk) -> None:
    executor, handle = await desk.run("sh", "-c", "exit 3")
    await executor.keep(handle, 60_000)
    outcome = await ended(executor, handle)
    assert (outcome.kind, outcome.exit_code) == (OutcomeKind.FAILED, 3)


async def test_a_displaced_supervisor_can_not_say_it_any_more(desk: Desk) -> None:
    first, handle = await desk.run("sleep", "600")
    second = await desk.executor()
    await second.recover(handle, 2)
    await first.keep(handle, 0)
    assert (await second.inspect(handle)).alive
    await finish(second, handle)


@pytest.mark.parametrize(("protocol", "told"), [(1, False), (2, True)])
async def test_a_holder_of_before_is_adopted_and_not_told(
    tmp_path: Path, protocol: int, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """It would not know the packet; whoever keeps the session says that it cannot."""
    got: list[packets.Packet] = []
    asked = asyncio.Event()

    async def holder(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        decoder = packets.Decoder()
        while data := await reader.read(1 << 16):
            for packet in decoder.feed(data):
                got.append(packet)
                if packet[0] == packets.HELLO:
                    welcome = packets.welcome(os.getpid(), 80, 24, 0, 0, packets.RUNNING)
                    writer.write(welcome[:5] + protocol.to_bytes(2, "big") + welcome[7:])
                elif packet[0] == packets.INSPECT:
                    writer.write(packets.info(True, 1, 0, 0, 80, 24))
                    asked.set()
        writer.close()

    async def lost(_link: Link) -> Outcome:
        return Outcome(OutcomeKind.UNEXECUTABLE)

    path = str(tmp_path / "s")
    server = await asyncio.start_unix_server(holder, path)
    jobs = Jobs("test")
    link = Link(Handle("task-1", os.getpid(), 0, "", path, str(tmp_path)), 1, jobs, lost)
    await link.connect(10)
    with caplog.at_level(logging.WARNING):
        for until in (10, 20):
            link.keep(until)
    await link.ask(packets.encode(packets.INSPECT), packets.INFO)
    assert [packets.parse_keep(payload) for kind, payload in got if kind == packets.KEEP] == ([10, 20] if told else [])
    assert caplog.text.count("older version") == (0 if told else 1)
    link.close()
    await jobs.cancel()
    server.close()
    await server.wait_closed()

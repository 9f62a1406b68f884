"""Whatever dies between a pod and who watches over it: the pod goes on, its recording is whole, nothing twice."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lite.aio.tasks import spawn
from lite.executors.kubernetes.handle import parse_handle
from lite.executors.kubernetes.session import inner_handle
from lite.model.task import OutcomeKind, Reason
from lite.terminal import packets
from tests.executors.pods import Harbour, output_of, over, pod_of, printed, until
from tests.executors.sessions import holder_of, read_all
from tests.support.kube.cluster import FakeCluster
from tests.support.kube.fixtures import cluster

__all__ = ["cluster"]


@pytest.fixture
async def harbour(tmp_path: Path, cluster: FakeCluster) -> AsyncIterator[Harbour]:
    made = Harbour(tmp_path, cluster)
    try:
        yield made
        await made.close()
    finally:
        made.desk.kill_all()


def counting(gate: Path, until: int) -> tuple[str, ...]:
    """Prints numbers, the second half only once `gate` is there."""
    half = until // 2
    script = (
        f"i=0; while [ $i -lt {until} ]; do echo line $i; i=$((i+1)); "
        f"if [ $i -eq {half} ]; then while [ ! -e {gate} ]; do sleep 0.02; done; fi; done; exit 5"
    )
    return ("sh", "-c", script)


def lines(until: int) -> bytes:
    return b"".join(b"line %d\r\n" % number for number in range(until))


def bridge_of(harbour: Harbour) -> list[int]:
    """Processes that are bridges."""
    found = []
    for pid in harbour.desk.survivors():
        try:
            if b"_pod" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                found.append(pid)
        except OSError:
            continue
    return found


async def everything_dies(harbour: Harbour) -> None:
    """All of this side; what one of them was just starting when we looked, too. First of all our own supervisors: as
    long as one lives it starts a new nursery for each that is killed, for half a minute."""
    for executor in harbour.executors:
        await executor.close()
        await harbour.inners[executor].close()

    def left() -> list[int]:
        harbour.desk.kill_all()
        return harbour.desk.survivors()

    await until(left, lambda pids: not pids)


@pytest.mark.parametrize("cuts", [1, 4])
async def test_cut_connections_lose_and_repeat_nothing(harbour: Harbour, tmp_path: Path, cuts: int) -> None:
    gate = tmp_path / "gate"
    handle = await harbour.run(*counting(gate, 4000))
    for _ in range(cuts):
        await printed(handle, b"line")
        harbour.cluster.cut_connections()
        await harbour.cluster.until_attached(pod_of(handle), 0)
    gate.touch()
    outcome = await over(harbour.executors[0], handle)
    assert outcome.exit_code == 5
    assert output_of(handle) == lines(4000)


async def test_after_a_cut_in_the_middle_of_a_line_a_person_goes_on(harbour: Harbour) -> None:
    handle = await harbour.run("sh", "-c", "printf 'one? '; read x; printf 'two? '; read y; echo $x $y")
    await printed(handle, b"one? ")
    harbour.cluster.cut_connections()
    stream = await harbour.executors[0].attach(handle, control=True)
    await stream.write((packets.INPUT, b"a"))
    await printed(handle, b"one? a")  # before its line is finished, and so before the log has it
    await stream.write((packets.INPUT, b"\r"))
    await printed(handle, b"two? ")
    await stream.write((packets.INPUT, b"b\r"))
    assert (await over(harbour.executors[0], handle)).kind is OutcomeKind.SUCCEEDED
    await stream.aclose()
    assert output_of(handle) == b"one? a\r\ntwo? b\r\na b\r\n"


async def test_a_killed_bridge_is_replaced_and_its_recording_goes_on(harbour: Harbour, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    handle = await harbour.run(*counting(gate, 400))
    stream = await harbour.executors[0].attach(handle, control=False, offset=0)
    watching = spawn(read_all(stream))
    await printed(handle, b"line 199")
    (bridge,) = bridge_of(harbour)
    os.kill(bridge, signal.SIGKILL)
    await until(lambda: bridge_of(harbour), lambda pids: pids and pids != [bridge])
    gate.touch()
    outcome = await over(harbour.executors[0], handle)
    assert outcome.exit_code == 5
    assert output_of(handle) == lines(400)
    assert len(harbour.cluster.pods()) == 1
    assert (await watching)[0] == lines(400)  # who watched noticed nothing
    await stream.aclose()


async def test_a_killed_holder_is_replaced_too(harbour: Harbour, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    handle = await harbour.run(*counting(gate, 400))
    await printed(handle, b"line 199")
    holder = holder_of(inner_handle(parse_handle(handle)))
    os.kill(holder, signal.SIGKILL)
    await until(lambda: inner_handle(parse_handle(handle)), lambda inner: holder_of(inner) != holder)
    gate.touch()
    assert (await over(harbour.executors[0], handle)).exit_code == 5
    assert output_of(handle) == lines(400)


async def test_what_is_typed_into_a_replaced_bridge_still_arrives(harbour: Harbour) -> None:
    handle = await harbour.run("sh", "-c", "echo begun; read x; echo got $x")
    await printed(handle, b"begun")
    (bridge,) = bridge_of(harbour)
    os.kill(bridge, signal.SIGKILL)
    await until(lambda: bridge_of(harbour), lambda pids: pids and pids != [bridge])
    stream = await harbour.executors[0].attach(handle, control=True)
    await stream.write((packets.INPUT, b"word\r"))
    assert (await over(harbour.executors[0], handle)).kind is OutcomeKind.SUCCEEDED
    await stream.aclose()
    assert b"got word" in output_of(handle)


async def test_everything_on_this_side_dies_and_the_next_supervisor_adopts_the_pod(
    harbour: Harbour, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    handle = await harbour.run(*counting(gate, 400), token=3)
    await printed(handle, b"line 199")
    await everything_dies(harbour)
    gate.touch()
    second = await harbour.executor()
    await second.recover(handle, 4)
    assert (await over(second, handle)).exit_code == 5
    assert output_of(handle) == lines(400)


async def test_ten_pods_are_taken_over_at_once(harbour: Harbour, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    first = await harbour.executor()
    handles = [await harbour.run(*counting(gate, 100), executor=first) for _ in range(10)]
    for handle in handles:
        await printed(handle, b"line 49")
    await first.close()
    second = await harbour.executor()
    await asyncio.gather(*(second.recover(handle, 2) for handle in handles))
    gate.touch()
    outcomes = await asyncio.gather(*(over(second, handle, 60) for handle in handles))
    assert [outcome.exit_code for outcome in outcomes] == [5] * 10
    assert all(output_of(handle) == lines(100) for handle in handles)
    assert sorted(harbour.cluster.pods()) == sorted(map(pod_of, handles))


async def test_a_bridge_killed_before_it_could_say_go_loses_nothing(harbour: Harbour) -> None:
    harbour.cluster.hold_image("agent:*")
    handle = await harbour.run("echo", "once")
    (bridge,) = await until(lambda: bridge_of(harbour), bool)
    os.kill(bridge, signal.SIGKILL)
    await until(lambda: bridge_of(harbour), lambda pids: pids and pids != [bridge])
    harbour.cluster.release_image("agent:*")
    assert (await over(harbour.executors[0], handle)).kind is OutcomeKind.SUCCEEDED
    assert output_of(handle).endswith(b"once\r\n")
    assert output_of(handle).count(b"once") == 1


async def test_secrets_stay_hidden_behind_a_replaced_bridge_or_the_pod_goes(harbour: Harbour, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    script = f"echo begun; while [ ! -e {gate} ]; do sleep 0.02; done; echo $TOKEN"
    asked = {"env": {"TOKEN": "s3cr3t-value"}, "secrets": ("s3cr3t-value",)}
    handle = await harbour.run("sh", "-c", script, **asked)
    await printed(handle, b"begun")
    (bridge,) = bridge_of(harbour)
    os.kill(bridge, signal.SIGKILL)
    await until(lambda: bridge_of(harbour), lambda pids: pids and pids != [bridge])
    gate.touch()
    assert (await over(harbour.executors[0], handle)).kind is OutcomeKind.SUCCEEDED
    assert output_of(handle) == b"begun\r\n************\r\n"

    gate.unlink()
    handle = await harbour.run("sh", "-c", script, **asked)
    await printed(handle, b"begun")
    await everything_dies(harbour)
    second = await harbour.executor()
    await second.recover(handle, 2)  # it does not know what would have to be hidden
    outcome = await over(second, handle)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.UNEXECUTABLE, Reason.LOST)
    assert not harbour.cluster.processes().get(pod_of(handle))
    assert b"s3cr3t-value" not in output_of(handle)

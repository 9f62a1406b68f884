"""A worker's whole machine is gone: another one goes on with the pod. Two homes, one cluster."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lite.aio.tasks import spawn
from lite.clock import VirtualClock
from lite.errors import ExecutorUnavailable, HandleGone
from lite.executors.kubernetes import adoption
from lite.executors.kubernetes.bootstrap import READY, begin
from lite.executors.kubernetes.handle import Handle, parse_handle
from lite.executors.kubernetes.session import inner_handle
from lite.model.task import OutcomeKind
from lite.recordings.reader import Recording
from lite.terminal import packets
from lite.terminal.packets import ERR, OUT
from tests.executors.pods import _OWN, Harbour, over, pod_of, until
from tests.executors.test_kubernetes_kills import bridge_of, counting, everything_dies, lines
from tests.support.kube.cluster import FakeCluster
from tests.support.kube.fixtures import cluster

__all__ = ["cluster"]

TOKEN = "quarterdeck.dev/token"


@pytest.fixture
async def first(tmp_path: Path, cluster: FakeCluster) -> AsyncIterator[Harbour]:
    """The machine that is lost."""
    made = Harbour(tmp_path, cluster)
    try:
        yield made
        await made.close()
    finally:
        made.desk.kill_all()


@pytest.fixture
async def second(first: Harbour) -> AsyncIterator[Harbour]:
    """The one that goes on."""
    made = first.elsewhere()
    try:
        yield made
        await made.close()
    finally:
        made.desk.kill_all()


def folder(harbour: Harbour, handle: str) -> Path:
    return harbour.home.session(parse_handle(handle).session)


def kept(harbour: Harbour, handle: str, *streams: int) -> bytes:
    """What that machine has recorded of the program."""
    path = folder(harbour, handle)
    if not (path / "recording").is_dir():
        return b""
    entries = Recording(path).entries()
    return _OWN.sub(b"", b"".join(one.data for one in entries if one.stream in (streams or (OUT, ERR))))


async def shown(harbour: Harbour, handle: str, text: bytes) -> None:
    await until(lambda: kept(harbour, handle), lambda data: text in data)


def annotation(harbour: Harbour, handle: str) -> str:
    return str(harbour.cluster.pod(pod_of(handle))["metadata"]["annotations"][TOKEN])


async def lose(harbour: Harbour) -> None:
    for executor in harbour.executors:
        await executor.close()
    harbour.executors.clear()
    await everything_dies(harbour)


async def test_the_pod_goes_on_and_the_recording_is_whole(first: Harbour, second: Harbour, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    handle = await first.run(*counting(gate, 400), token=3)
    await shown(first, handle, b"line 199")
    uid = first.cluster.pod(pod_of(handle))["metadata"]["uid"]
    await lose(first)
    executor = await second.executor()
    await executor.recover(handle, 4)
    assert annotation(second, handle) == "4"
    await shown(second, handle, b"line 199")
    gate.touch()
    outcome = await over(executor, handle)
    assert (outcome.kind, outcome.exit_code) == (OutcomeKind.FAILED, 5)
    assert kept(second, handle) == lines(400)
    assert [first.cluster.pod(name)["metadata"]["uid"] for name in first.cluster.pods()] == [uid]
    await executor.destroy(handle)


async def test_a_person_goes_on_typing_watching_and_resizing(first: Harbour, second: Harbour) -> None:
    script = "echo begun; read x; stty size; echo got $x; read y; echo and $y"
    handle = await first.run("sh", "-c", script)
    await shown(first, handle, b"begun")
    await lose(first)
    executor = await second.executor()
    await executor.recover(handle, 2)
    assert Path(executor.address(handle)).exists()
    stream = await executor.attach(handle, control=True)
    await stream.write((packets.RESIZE, packets.resize(101, 31)[5:]))
    await until(lambda: second.cluster.size(pod_of(handle)), lambda size: size == (31, 101))
    await stream.write((packets.INPUT, b"one\r"))
    await shown(second, handle, b"got one")
    assert (await executor.inspect(handle)).alive
    await stream.write((packets.INPUT, b"two\r"))
    assert (await over(executor, handle)).kind is OutcomeKind.SUCCEEDED
    await stream.aclose()
    assert kept(second, handle) == b"begun\r\none\r\n31 101\r\ngot one\r\ntwo\r\nand two\r\n"


async def test_it_is_stopped_there_like_any_other(first: Harbour, second: Harbour) -> None:
    handle = await first.run("sh", "-c", "echo begun; sleep 600")
    await shown(first, handle, b"begun")
    await lose(first)
    executor = await second.executor()
    await executor.recover(handle, 2)
    await executor.stop(handle, grace_ms=1000)
    await over(executor, handle)
    assert not second.cluster.processes().get(pod_of(handle))


async def test_with_pipes_the_lines_come_from_the_first_on(first: Harbour, second: Harbour, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    handle = await first.run(*counting(gate, 100), stdio="pipes", stdin="null")
    await shown(first, handle, b"line 49")
    await lose(first)
    executor = await second.executor()
    await executor.recover(handle, 2)
    gate.touch()
    assert (await over(executor, handle)).exit_code == 5
    assert kept(second, handle, OUT) == lines(100).replace(b"\r\n", b"\n")


async def test_it_ended_while_nobody_was_there(first: Harbour, second: Harbour, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    argv = counting(gate, 100)
    handle = await first.run("sh", "-c", argv[2].replace("exit 5", "echo said > $QD_OUTPUT"), env={"QD_OUTPUT": "o"})
    await shown(first, handle, b"line 49")
    await lose(first)
    gate.touch()
    await first.cluster.until_phase(pod_of(handle), "Succeeded")
    executor = await second.executor()
    await executor.recover(handle, 2)
    assert (await over(executor, handle)).kind is OutcomeKind.SUCCEEDED
    assert kept(second, handle) == lines(100)


async def test_the_adopter_starts_again_and_finds_its_own_folder(
    first: Harbour, second: Harbour, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    handle = await first.run(*counting(gate, 400))
    await shown(first, handle, b"line 199")
    await lose(first)
    executor = await second.executor()
    await executor.recover(handle, 2)
    await shown(second, handle, b"line 199")
    await executor.close()
    bridges = bridge_of(second)
    again = await second.executor()
    await again.recover(handle, 3)
    assert annotation(second, handle) in ("2", "3")
    assert bridge_of(second) == bridges
    assert len(bridges) == 1
    gate.touch()
    assert (await over(again, handle)).exit_code == 5
    assert kept(second, handle) == lines(400)
    await again.destroy(handle)


async def test_an_adoption_that_was_cut_off_is_done_again(first: Harbour, second: Harbour, tmp_path: Path) -> None:
    """The folder is there, and no bridge was ever started in it; the one its handle tells of is another machine's."""
    gate = tmp_path / "gate"
    handle = await first.run(*counting(gate, 400))
    await shown(first, handle, b"line 199")
    third = first.elsewhere("third")
    early = await third.executor()
    await early.recover(handle, 2)
    for name in ("pod.json", "pod-inner"):
        target = folder(second, handle) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((folder(third, handle) / name).read_bytes() if name == "pod.json" else b"")
    await lose(third)
    executor = await second.executor()
    await executor.recover(handle, 3)
    gate.touch()
    assert (await over(executor, handle)).exit_code == 5
    assert kept(second, handle) == lines(400)


async def test_it_comes_back_to_where_it_began(first: Harbour, second: Harbour, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    handle = await first.run(*counting(gate, 400))
    await shown(first, handle, b"line 199")
    await lose(first)
    executor = await second.executor()
    await executor.recover(handle, 2)
    await shown(second, handle, b"line 199")
    await lose(second)
    back = await first.executor()
    await back.recover(handle, 3)
    gate.touch()
    assert (await over(back, handle)).exit_code == 5
    assert kept(first, handle) == lines(400)


async def test_the_old_bridge_wakes_up_and_can_neither_end_it_nor_type(
    first: Harbour, second: Harbour, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    script = f"echo begun; while [ ! -e {gate} ]; do sleep 0.02; done; read -r x; echo got $x"
    executor = await first.executor()
    handle = await first.run("sh", "-c", script, executor=executor)
    await shown(first, handle, b"begun")
    stream = await executor.attach(handle, control=True)
    (bridge,) = bridge_of(first)
    os.kill(bridge, signal.SIGSTOP)
    await stream.write((packets.INPUT, b"from the old one\r"))
    await executor.keep(handle, 1)  # its lease is over, and it does not know
    await stream.aclose()
    await executor.close()
    first.executors.clear()
    adopter = await second.executor()
    await adopter.recover(handle, 2)
    os.kill(bridge, signal.SIGCONT)
    await until((folder(first, handle) / "pod-end.json").exists, bool)  # it has given up
    end = json.loads((folder(first, handle) / "pod-end.json").read_text())
    assert (end["kind"], end["message"]) == ("lost", "another supervisor has its pod")
    assert "deletionTimestamp" not in second.cluster.pod(pod_of(handle))["metadata"]
    gate.touch()
    typing = await adopter.attach(handle, control=True)
    await typing.write((packets.INPUT, b"from the new one\r"))
    assert (await over(adopter, handle)).kind is OutcomeKind.SUCCEEDED
    await typing.aclose()
    assert b"got from the new one\r\n" in kept(second, handle)
    assert b"old" not in kept(second, handle)


async def test_who_had_given_it_up_takes_it_back(first: Harbour, second: Harbour, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    old = await first.executor()
    handle = await first.run(*counting(gate, 400), executor=old)
    await shown(first, handle, b"line 199")
    await (await second.executor()).recover(handle, 2)
    await old.keep(handle, 0)
    assert (await over(old, handle)).detail == "another supervisor has its pod"
    await old.close()
    first.executors.clear()
    await lose(second)
    back = await first.executor()
    await back.recover(handle, 3)
    await back.keep(handle, 60_000)
    gate.touch()
    assert (await over(back, handle)).exit_code == 5
    assert kept(first, handle) == lines(400)


async def test_the_old_supervisor_wakes_up_and_can_end_nothing(first: Harbour, second: Harbour, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    old = await first.executor()
    handle = await first.run(*counting(gate, 400), executor=old)
    await shown(first, handle, b"line 199")
    adopter = await second.executor()
    await adopter.recover(handle, 2)
    await old.keep(handle, 0)
    await old.stop(handle, grace_ms=0)
    assert (await over(old, handle)).kind is OutcomeKind.UNEXECUTABLE
    gate.touch()
    assert (await over(adopter, handle)).exit_code == 5
    assert kept(second, handle) == lines(400)


async def test_what_had_not_begun_is_ended(first: Harbour, second: Harbour) -> None:
    first.cluster.hold_image("agent:*")
    handle = await first.run("echo", "never")
    await lose(first)
    executor = await second.executor()
    with pytest.raises(HandleGone, match="had not begun"):
        await executor.recover(handle, 2)
    first.cluster.release_image("agent:*")
    await until(first.cluster.pods, lambda pods: pods == [])
    assert not folder(second, handle).exists()


async def test_a_program_with_secrets_is_ended(first: Harbour, second: Harbour) -> None:
    asked = {"env": {"TOKEN": "s3cr3t-value"}, "secrets": ("s3cr3t-value",)}
    handle = await first.run("sh", "-c", "echo begun; sleep 600", **asked)
    await shown(first, handle, b"begun")
    await lose(first)
    executor = await second.executor()
    with pytest.raises(HandleGone, match="hidden"):
        await executor.recover(handle, 2)
    await until(lambda: first.cluster.processes().get(pod_of(handle)), lambda pids: not pids)


async def test_who_has_a_smaller_token_takes_nothing_over(first: Harbour, second: Harbour) -> None:
    handle = await first.run("sh", "-c", "echo begun; sleep 600", token=7)
    await shown(first, handle, b"begun")
    executor = await second.executor()
    with pytest.raises(HandleGone, match="somebody else"):
        await executor.recover(handle, 6)
    assert annotation(first, handle) == "7"
    assert first.cluster.processes()[pod_of(handle)]


async def test_a_pod_that_is_gone_and_one_that_nobody_can_be_asked_about(first: Harbour, second: Harbour) -> None:
    handle = await first.run("sh", "-c", "echo begun; sleep 600")
    await shown(first, handle, b"begun")
    executor = await second.executor()
    first.cluster.down()
    with pytest.raises(ExecutorUnavailable):
        await executor.recover(handle, 2)
    await first.cluster.up()
    other = Handle(**{**json.loads(handle.replace('"v":1,', "")), "pod": "qd-no-such"})
    with pytest.raises(HandleGone, match="gone"):
        await executor.recover(str(other), 2)
    await executor.recover(handle, 2)
    await executor.stop(handle, grace_ms=0)
    await over(executor, handle)
    assert inner_handle(parse_handle(handle))  # the first one's own is untouched


async def test_once_missing_is_not_gone(first: Harbour, second: Harbour, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    handle = await first.run(*counting(gate, 100))
    await shown(first, handle, b"line 49")
    await lose(first)
    executor = await second.executor()
    first.cluster.fail_next("get", "pods", 404, times=1)
    await executor.recover(handle, 2)
    gate.touch()
    assert (await asyncio.wait_for(executor.wait(handle), 30)).exit_code == 5


@pytest.mark.parametrize(
    ("logs", "begun"),
    [
        ([b"warned\n" + READY + begin("m") + b"x"], True),
        ([READY], False),
        ([READY + b"bad\n" + READY], False),
        ([b"warned\n", b"warned\n" + READY], False),
        ([b"", READY + begin("m")], True),
        ([b"", b""], False),
        ([b"line 4711\n", b"line 4711\nline 4712\n"], True),  # the node has cut it
    ],
)
async def test_whether_it_has_begun_is_told_by_the_log(logs: list[bytes], begun: bool) -> None:
    class Logs:
        async def read_log(self, *_: str, limit: int) -> bytes:
            return logs.pop(0)[:limit]

    clock = VirtualClock()
    parts = Handle("s-1", "default", "pod", "m", "/nowhere", "")
    running = {"status": {"containerStatuses": [{"name": "agent", "state": {"running": {}}}]}}
    asking = spawn(adoption._begun(Logs(), clock, parts, running))  # type: ignore[arg-type]
    while not asking.done():
        await clock.advance(1)
    assert asking.result() is begun
    assert logs == []


async def test_who_may_not_ask_cannot_take_it_over(first: Harbour, second: Harbour) -> None:
    handle = await first.run("sh", "-c", "echo begun; sleep 600")
    await shown(first, handle, b"begun")
    executor = await second.executor()
    first.cluster.fail_next("get", "pods", 403, times=1)
    with pytest.raises(HandleGone, match="cannot be taken over"):
        await executor.recover(handle, 2)

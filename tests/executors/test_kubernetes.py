"""The Kubernetes executor keeps what every executor promises, on the fake cluster."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lite.model.task import OutcomeKind, Reason
from lite.terminal import packets
from providers.base import Launch
from tests.contracts.executor import ExecutorContract, Make
from tests.executors.pods import Harbour, output_of, over, pod_of, printed
from tests.executors.sessions import acked, read_until
from tests.executors.test_trees import SLEEPER
from tests.support.kube.fixtures import cluster

__all__ = ["cluster"]


@pytest.fixture
async def harbour(tmp_path: Path, cluster) -> AsyncIterator[Harbour]:  # type: ignore[no-untyped-def]
    made = Harbour(tmp_path, cluster)
    try:
        yield made
        await made.close()
    finally:
        made.desk.kill_all()


class TestKubernetesContract(ExecutorContract):
    @pytest.fixture
    def make(self, harbour: Harbour) -> Make:
        return harbour.executor

    def succeeding(self) -> Launch:
        return Launch(argv=("true",))

    def failing(self) -> Launch:
        return Launch(argv=("sh", "-c", "exit 3"))

    def lasting(self) -> Launch:
        return Launch(argv=("sleep", "600"))

    def leaving(self, path: Path) -> Launch:
        return Launch(argv=("touch", str(path)))

    def spreading(self, path: Path) -> Launch:
        """A daemon of its own session that ignores every signal it can."""
        script = "import subprocess, sys, time; subprocess.Popen(sys.argv[1:]); time.sleep(600)"
        daemon = (sys.executable, "-c", SLEEPER, "daemon+ignore", str(path), SLEEPER)
        return Launch(argv=(sys.executable, "-c", script, *daemon))


async def test_a_terminal_controls_the_program_in_the_pod(harbour: Harbour) -> None:
    handle = await harbour.run("sh", "-c", "test -t 0 && test -t 1 && test -t 2 && stty size && tty")
    assert (await over(harbour.executors[0], handle)).kind is OutcomeKind.SUCCEEDED
    assert output_of(handle).startswith(b"40 120\r\n/dev/pts/")


async def test_what_is_typed_reaches_it_and_what_it_prints_is_recorded(harbour: Harbour) -> None:
    handle = await harbour.run("sh", "-c", "printf 'name? '; read x; echo \"got $x\"")
    stream = await harbour.executors[0].attach(handle, control=True, offset=0)
    await read_until(stream, b"name? ")
    assert (await acked(stream, b"joe\r"))[0]
    await read_until(stream, b"got joe")
    assert (await over(harbour.executors[0], handle)).kind is OutcomeKind.SUCCEEDED
    await stream.aclose()
    assert output_of(handle) == b"name? joe\r\ngot joe\r\n"
    assert output_of(handle, packets.IN) == b"joe\r"


async def test_its_terminal_has_the_size_of_ours(harbour: Harbour) -> None:
    script = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done"
    handle = await harbour.run("sh", "-c", script)
    stream = await harbour.executors[0].attach(handle, control=True, offset=0)
    await read_until(stream, b"ready")
    await stream.write((packets.RESIZE, packets.resize(91, 31)[5:]))
    await read_until(stream, b"31 91")
    await stream.aclose()
    await harbour.executors[0].stop(handle, grace_ms=500)
    await over(harbour.executors[0], handle)


async def test_pipes_keep_out_and_err_apart_and_long_lines_whole(harbour: Harbour) -> None:
    line = b'{"prompt":"' + b"x" * 200_000 + b'"}\n'
    script = "import sys,os; d=sys.stdin.buffer.readline(); os.write(2,b'got %d'%len(d)); sys.stdout.buffer.write(d)"
    handle = await harbour.run(*harbour.python(script), stdio="pipes", stdin_data=line)
    assert (await over(harbour.executors[0], handle)).kind is OutcomeKind.SUCCEEDED
    assert output_of(handle, packets.OUT) == line
    assert output_of(handle, packets.ERR).endswith(b"got %d" % len(line))


async def test_it_says_what_it_waits_for_before_the_program_begins(harbour: Harbour) -> None:
    harbour.cluster.unschedulable("0/1 nodes are available: 1 Insufficient cpu.")
    handle = await harbour.run("echo", "begun")
    await printed(handle, b"Insufficient cpu")
    harbour.cluster.unschedulable("")
    assert (await over(harbour.executors[0], handle)).kind is OutcomeKind.SUCCEEDED
    assert output_of(handle).endswith(b"begun\r\n")


async def test_no_secret_is_in_the_pod_s_spec_nor_stays_in_the_session_s_folder(harbour: Harbour) -> None:
    handle = await harbour.run("sh", "-c", "echo $TOKEN", env={"TOKEN": "s3cr3t-value"}, secrets=("s3cr3t-value",))
    outcome = await over(harbour.executors[0], handle)
    assert outcome.kind is OutcomeKind.SUCCEEDED
    assert "s3cr3t-value" not in str(harbour.cluster.pod(pod_of(handle)))
    assert output_of(handle) == b"************\r\n"
    for path in harbour.home.root.rglob("*"):
        assert path.is_dir() or path.is_socket() or b"s3cr3t-value" not in path.read_bytes(), path


async def test_what_it_leaves_in_its_output_file_comes_home(harbour: Harbour) -> None:
    directory = harbour.home.session("task1-1")
    env = {"QD_OUTPUT": str(directory / "output")}
    handle = await harbour.run("sh", "-c", "echo seen; printf result > $QD_OUTPUT", env=env)
    assert (await over(harbour.executors[0], handle)).kind is OutcomeKind.SUCCEEDED
    assert (directory / "output").read_bytes() == b"result"
    assert output_of(handle) == b"seen\r\n"


async def test_a_lost_answer_to_its_creation_makes_no_second_pod(harbour: Harbour) -> None:
    harbour.cluster.lose_answer("create", "pods")
    handle = await harbour.run("echo", "once")
    assert (await over(harbour.executors[0], handle)).kind is OutcomeKind.SUCCEEDED
    assert harbour.cluster.pods() == [pod_of(handle)]
    assert output_of(handle) == b"once\r\n"


async def test_a_program_that_is_not_there_is_the_task_s_failure(harbour: Harbour) -> None:
    handle = await harbour.run("no-such-program")
    outcome = await over(harbour.executors[0], handle)
    assert (outcome.kind, outcome.reason, outcome.exit_code) == (OutcomeKind.FAILED, Reason.LAUNCH, 127)

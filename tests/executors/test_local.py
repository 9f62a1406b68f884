"""The local executor: the contract, launches, outcomes, re-adoption."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest

from lite.errors import ExecutorError, HandleGone, SessionRefused
from lite.executors.local.executor import LocalExecutor
from lite.executors.local.handle import parse_handle
from lite.home import Home
from lite.model.task import OutcomeKind, Reason
from lite.terminal import packets
from providers.base import Launch
from tests.contracts.executor import ExecutorContract, Make
from tests.executors.sessions import PATH, Desk, alive, ended, finish, pid_in, read_all, recorded, until
from tests.executors.test_trees import SLEEPER


class TestLocalContract(ExecutorContract):
    @pytest.fixture
    def make(self, desk: Desk) -> Make:
        return desk.executor

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


async def test_a_terminal_controls_the_program(desk: Desk) -> None:
    executor, handle = await desk.run("sh", "-c", "test -t 0 && test -t 1 && test -t 2 && stty size </dev/tty && tty")
    assert (await ended(executor, handle)).kind is OutcomeKind.SUCCEEDED
    assert recorded(handle).startswith(b"40 120\r\n/dev/pts/")


async def test_pipes_keep_out_and_err_apart_and_long_lines_whole(desk: Desk) -> None:
    line = b'{"prompt":"' + b"x" * 200_000 + b'"}\n'
    script = "import sys,os; d=sys.stdin.buffer.readline(); os.write(2,b'got %d'%len(d)); sys.stdout.buffer.write(d)"
    executor, handle = await desk.run("python3", "-c", script, stdio="pipes", stdin_data=line)
    assert (await ended(executor, handle)).kind is OutcomeKind.SUCCEEDED
    assert recorded(handle, packets.OUT) == line
    assert recorded(handle, packets.ERR) == b"got %d" % len(line)


async def test_stdin_may_be_nothing(desk: Desk) -> None:
    executor, handle = await desk.run("cat", stdio="pipes", stdin="null")
    assert (await ended(executor, handle)).kind is OutcomeKind.SUCCEEDED


async def test_the_environment_is_the_request_s_and_marked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SUPERVISOR", "1")
    executor, handle = await desk.run("env", env={"ONLY": "this"}, task="marked")
    await ended(executor, handle)
    lines = set(recorded(handle).decode().splitlines())
    assert {"ONLY=this", "QD_SESSION=marked-1", f"QD_HOME={desk.home.root}", f"PATH={PATH}"} <= lines
    assert not any("SECRET" in line for line in lines)


async def test_nothing_secret_stays_on_disk(desk: Desk) -> None:
    executor, handle = await desk.run("true", env={"TOKEN": "s3cr3t-value"}, stdin_data=b"")
    await ended(executor, handle)
    for path in desk.home.root.rglob("*"):
        assert path.is_dir() or path.is_socket() or b"s3cr3t-value" not in path.read_bytes(), path


async def test_signals_are_as_a_shell_would_have_them(desk: Desk) -> None:
    executor, handle = await desk.run("grep", "-E", "SigIgn|SigBlk", "/proc/self/status")
    await ended(executor, handle)
    of_libc = 0b11 << 31  # signals 32 and 33, which a program can neither see nor set
    for line in recorded(handle).decode().splitlines():
        assert int(line.split()[1], 16) & ~of_libc == 0, line


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (("no-such-program",), 127, "not found: no-such-program"),
        (("./plain",), 126, "not executable"),
        (("plain",), 127, "not found: plain"),
        (("./folder",), 126, "a directory"),
        (("./garbage",), 126, "format"),
        (("./other-interpreter",), 126, "No such file"),
        ((), 127, "no command"),
    ],
)
async def test_what_cannot_be_started_says_why(desk: Desk, argv: tuple[str, ...], code: int, words: str) -> None:
    (desk.root / "plain").write_text("hello\n")
    (desk.root / "folder").mkdir()
    for name, content in {"garbage": b"\0\1\2\3", "other-interpreter": b"#!/no/such/interpreter\n"}.items():
        (desk.root / name).write_bytes(content)
        (desk.root / name).chmod(0o755)
    executor, handle = await desk.run(*argv)
    outcome = await ended(executor, handle)
    assert (outcome.kind, outcome.reason, outcome.exit_code) == (OutcomeKind.FAILED, Reason.LAUNCH, code)
    assert words in outcome.detail


async def test_a_missing_directory_to_run_in_is_the_task_s_failure(desk: Desk) -> None:
    executor, handle = await desk.run("true", cwd=str(desk.root / "gone"))
    outcome = await ended(executor, handle)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.FAILED, Reason.LAUNCH)
    assert str(desk.root / "gone") in outcome.detail


async def test_the_command_is_looked_up_on_its_own_path(desk: Desk) -> None:
    tools = desk.root / "tools"
    tools.mkdir()
    (tools / "mine").write_text("#!/bin/sh\necho mine $0 $1\n")
    (tools / "mine").chmod(0o755)
    for argv, path in ((("mine", "a"), "tools"), (("tools/mine", "a"), "")):
        executor, handle = await desk.run(*argv, env={"PATH": f"{path}:/usr/bin:/bin"})
        await ended(executor, handle)
        assert recorded(handle).startswith(b"mine ")


async def test_the_files_of_a_launch_are_private_and_stay_in_the_folder(desk: Desk) -> None:
    executor, handle = await desk.run("true", files={"settings.json": b"{}"})
    await ended(executor, handle)
    path = Path(parse_handle(handle).directory) / "settings.json"
    assert path.read_bytes() == b"{}"
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ExecutorError, match="session's folder"):
        await desk.run("true", files={"../outside": b""})


async def test_a_nul_in_the_environment_is_refused_before_anything_starts(desk: Desk) -> None:
    with pytest.raises(ExecutorError, match="NUL"):
        await desk.run("true", env={"A": "b\0c"})


async def test_a_home_too_deep_for_a_socket(tmp_path: Path) -> None:
    desk = Desk(tmp_path / ("d" * 60) / ("e" * 60))
    desk.root.mkdir(parents=True)
    try:
        executor, handle = await desk.run("echo", "fine")
        assert not parse_handle(handle).socket.startswith(str(desk.root))
        assert (await ended(executor, handle)).kind is OutcomeKind.SUCCEEDED
        await desk.close()
    finally:
        desk.kill_all()


async def test_the_main_program_s_end_is_the_end(desk: Desk) -> None:
    """Also when a daemon it left holds its stdout open."""
    script = "setsid sh -c 'echo $$ > daemon; exec sleep 600' & until [ -s daemon ]; do sleep 0.01; done; echo done"
    executor, handle = await desk.run("sh", "-c", script, stdio="pipes")
    daemon = await pid_in(desk.root / "daemon")
    outcome = await ended(executor, handle)
    assert outcome.kind is OutcomeKind.SUCCEEDED
    assert recorded(handle) == b"done\n"
    assert not alive(daemon)


async def test_a_program_that_closes_its_terminal_goes_on(desk: Desk) -> None:
    script = "exec <&- >&- 2>&-; sleep 0.6; echo again >/dev/tty; exit 4"
    executor, handle = await desk.run("sh", "-c", script)
    assert (await ended(executor, handle)).exit_code == 4
    assert recorded(handle) == b"again\r\n"


async def test_recovered_in_parallel(desk: Desk) -> None:
    first = await desk.executor()
    handles = await asyncio.gather(*(_start(desk) for _ in range(25)))
    await first.close()
    second = await desk.executor()
    begun = time.monotonic()
    await asyncio.gather(*(second.recover(handle, 2) for handle in handles))
    assert time.monotonic() - begun < 10
    for handle in handles:
        assert (await second.inspect(handle)).alive
    outcomes = await asyncio.gather(*(finish(second, handle) for handle in handles))
    assert {outcome.reason for outcome in outcomes} == {Reason.SIGNAL}


async def _start(desk: Desk) -> str:
    return (await desk.run("sleep", "600"))[1]


async def test_an_end_that_nobody_saw_is_recovered(desk: Desk) -> None:
    executor, handle = await desk.run("sh", "-c", "until [ -e go ]; do sleep 0.01; done; exit 7")
    await executor.close()
    (desk.root / "go").touch()
    await until((Path(parse_handle(handle).directory) / "exit.json").exists)
    second = await desk.executor()
    await second.recover(handle, 2)
    assert (await ended(second, handle)).exit_code == 7
    stream = await second.attach(handle, control=False)
    assert b'"exit_code": 7' in (await read_all(stream))[2]


async def test_the_displaced_supervisor_is_told(desk: Desk) -> None:
    first, handle = await desk.run("sleep", "600", token=1)
    second = await desk.executor()
    await second.recover(handle, 2)
    outcome = await ended(first, handle)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.UNEXECUTABLE, Reason.LOST)
    with pytest.raises(SessionRefused):
        await first.signal(handle, 15)
    assert (await second.inspect(handle)).alive


async def test_a_handle_of_another_boot_is_gone(desk: Desk) -> None:
    executor, handle = await desk.run("true")
    await ended(executor, handle)
    await executor.destroy(handle)
    parsed = parse_handle(handle)
    elsewhere = handle.replace(parsed.boot, "another-boot").replace(parsed.directory, parsed.directory + "x")
    with pytest.raises(HandleGone):
        await executor.recover(elsewhere, 2)


async def test_the_nursery_ends_when_nobody_needs_it(desk: Desk) -> None:
    executor, handle = await desk.run("true")
    await ended(executor, handle)
    assert desk.nursery() is not None
    await executor.close()
    await until(lambda: desk.nursery() is None)
    assert not desk.home.nursery_socket.exists()


async def test_a_home_that_cannot_be_made(tmp_path: Path) -> None:
    from lite.executors.local.executor import LocalExecutor

    (tmp_path / "file").write_text("")
    with pytest.raises(ExecutorError):
        await LocalExecutor(Home(tmp_path / "file" / "home")).open()


async def test_with_recording_off_nothing_is_kept_in_the_end(desk: Desk) -> None:
    executor, handle = await desk.run("echo", "private", record=False)
    await ended(executor, handle)
    assert recorded(handle) == b"private\r\n"  # for whoever looks late
    await executor.destroy(handle)
    assert recorded(handle) == b""
    other = await desk.run("echo", "kept")
    await ended(*other)
    await executor.destroy(other[1])
    assert recorded(other[1]) == b"kept\r\n"


async def test_a_session_of_another_home_is_left_alone(desk: Desk, tmp_path: Path) -> None:
    """Two workers of one machine: what one of them takes over from the other, it does not have."""
    executor, handle = await desk.run("sleep", "600")
    other = LocalExecutor(Home(tmp_path / "other"))
    await other.open()
    with pytest.raises(HandleGone, match="another home"):
        await other.recover(handle, 2)
    await other.close()
    assert (await executor.inspect(handle)).alive


async def test_a_home_reached_by_another_name_is_the_same(desk: Desk, tmp_path: Path) -> None:
    _, handle = await desk.run("sleep", "600")
    link = tmp_path / "link"
    link.symlink_to(desk.home.root.parent)
    second = LocalExecutor(Home(link / desk.home.root.name))
    await second.open()
    await second.recover(handle, 2)
    await second.stop(handle, grace_ms=100)
    assert (await second.wait(handle)).kind is not OutcomeKind.SUCCEEDED
    await second.close()

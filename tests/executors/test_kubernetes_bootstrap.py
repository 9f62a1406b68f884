"""The first process of a pod, on real terminals and pipes: what it starts, hides, passes on and tells."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lite.errors import ExecutorError, InvalidTask
from lite.executors.kubernetes import bootstrap
from lite.executors.kubernetes.bootstrap import End, Ended, InFolder, go
from tests.support.pid_one import MARK, PidOne, shells

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what runs in a pod runs on Linux")

SECRET = "canary-5f1d0c7e93"
Pod = Callable[..., PidOne]

every_shell = pytest.mark.parametrize("shell", shells())
with_and_without_a_terminal = pytest.mark.parametrize("tty", [True, False], ids=["tty", "pipes"])


@pytest.fixture
def pod(shell: str, tmp_path: Path) -> Pod:
    def make(*argv: str, **options: object) -> PidOne:
        return PidOne(shell, tmp_path / "pod", *argv, **options)  # type: ignore[arg-type]

    return make


@every_shell
@with_and_without_a_terminal
@pytest.mark.parametrize("code", [0, 3, 128, 200])
def test_it_runs_the_program_and_ends_as_it_did(pod: Pod, tty: bool, code: int) -> None:
    with pod("sh", "-c", 'printf "<%s>" "$@"; exit $0', str(code), "a b", "", "$x", tty=tty) as one:
        assert one.go(go(MARK)).end() == code
        assert one.printed() == b"<a b><><$x>"
        assert one.told() == Ended(code)
        assert one.output() == End(code, None)
        assert one.err == b""


@every_shell
def test_stdout_and_stderr_are_kept_apart_without_a_terminal(pod: Pod) -> None:
    with pod("sh", "-c", "echo out; echo err >&2", tty=False) as one:
        one.go(go(MARK)).end()
        assert (one.printed(), bytes(one.err)) == (b"out\n", b"err\n")


@every_shell
@with_and_without_a_terminal
def test_what_it_is_told_is_seen_nowhere_but_in_the_environment(pod: Pod, tty: bool, tmp_path: Path) -> None:
    with pod("sh", "-c", "echo up; read line", tty=tty) as one:
        one.go(go(MARK, env={"KEY": SECRET}, files={"prompt": SECRET.encode()})).shows(b"up")
        assert SECRET.encode() not in one.out + one.err
        shown = b" ".join(b" ".join(member.argv) for member in one.members().values())
        assert b"sh" in shown
        assert SECRET.encode() not in shown
        assert MARK.encode() not in shown
        (folder,) = one.scratch.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "prompt").stat().st_mode & 0o777 == 0o600
        one.send(b"\n")
        assert one.end() == 0
        assert one.told() == Ended(0)


@every_shell
@with_and_without_a_terminal
def test_nothing_of_its_own_reaches_the_program(pod: Pod, tty: bool) -> None:
    with pod("sh", "-c", "echo ENV; env; echo FD; ls /proc/self/fd; umask; echo $PPID", tty=tty) as one:
        one.go(go(MARK, env={"KEY": "a 'b'\nc"}, files={"x": b""})).end()
        printed = one.printed().replace(b"\r", b"")
        env, _, rest = printed.partition(b"ENV\n")[2].partition(b"FD\n")
        assert b"KEY=a 'b'\nc\n" in env
        assert b"_qd" not in env
        assert MARK.encode() not in env
        assert b"QD_TERMINATION_LOG" not in env
        assert b"LC_ALL" not in env
        numbers = rest.split()
        assert set(numbers[:4]) == {b"0", b"1", b"2", b"3"}  # 3: ls looks at the directory
        assert numbers[4] in (b"0022", b"022")


@every_shell
@with_and_without_a_terminal
def test_big_files_and_odd_bytes_arrive_as_they_are(pod: Pod, tty: bool) -> None:
    dice = random.Random(7)
    odd = bytes(range(1, 256)) + b"\r\n\n\r" + bytes(dice.randrange(1, 256) for _ in range(2000)) + b"\n"
    files = {"odd": odd, "needs/big": dice.randbytes(1 << 20), "empty": b"", "nul": b"\0\0a\0"}
    script = 'for name in odd needs/big empty nul; do cat "$IN/$name" >"${name##*/}"; done; printf %s "$ODD$1" >both'
    text = os.fsdecode(odd)
    message = go(MARK, env={"ODD": text, "IN": InFolder(".")}, argv=("sh", "-c", script, "qd", text), files=files)
    with pod(tty=tty, env={"LANG": "C.UTF-8"}) as one:
        assert one.go(message).end() == 0
        found = {name: (one.folder / name).read_bytes() for name in ("odd", "big", "empty", "nul", "both")}
    assert found["both"] == odd + odd
    assert found == {**{name.rpartition("/")[2]: data for name, data in files.items()}, "both": odd + odd}


@every_shell
def test_the_terminal_is_as_new_and_has_its_size(pod: Pod) -> None:
    with pod("sh", "-c", "tty -s && stty -a; stty size; echo; read line; printf '%s' \"[$line]\"", tty=True) as one:
        one.go(go(MARK, size=(132, 43))).shows(b"43 132\r\n\r\n")
        words = one.printed().replace(b";", b" ").split()
        assert {b"icanon", b"echo", b"isig", b"icrnl", b"opost", b"onlcr", b"ixon"} <= set(words)
        one.send(b"typed\x7fD\r")
        assert one.end() == 0
        assert one.printed().endswith(b"\r\n[typeD]")


@every_shell
@with_and_without_a_terminal
def test_input_after_the_mark_is_the_programs(pod: Pod, tty: bool) -> None:
    with pod("head", "-c", "6", tty=tty) as one:
        one.go(go(MARK, files={"x": b"y" * 70_000}))
        one.send(b"abcdef\n")
        assert one.end() == 0
        assert one.printed().endswith(b"abcdef")


@every_shell
@with_and_without_a_terminal
@pytest.mark.parametrize(
    ("stdin", "seen"), [("/dev/null", b"0:"), (InFolder("in"), b"0:from the file")], ids=["null", "file"]
)
def test_other_input(pod: Pod, tty: bool, stdin: str | InFolder, seen: bytes) -> None:
    with pod("sh", "-c", "printf 0:; cat", tty=tty) as one:
        assert one.go(go(MARK, stdin=stdin, files={"in": b"from the file"})).end() == 0
        assert one.printed() == seen


@every_shell
@pytest.mark.parametrize(("key", "number"), [(b"\x03", signal.SIGINT), (b"\x1c", signal.SIGQUIT)])
def test_keys_that_interrupt_reach_a_program_as_they_should(pod: Pod, key: bytes, number: int) -> None:
    with pod("sh", "-c", "trap 'echo caught; exit 7' INT QUIT; echo up; read line", tty=True) as one:
        one.go(go(MARK)).shows(b"up").send(key)
        assert one.end(again=key) == 7
        assert one.told() == Ended(7)


@every_shell
def test_a_program_that_lets_itself_be_interrupted_is_told_so(pod: Pod) -> None:
    with pod("cat", tty=True) as one:
        one.go(go(MARK)).send(b"x\n")
        one.shows(b"x\r\nx").send(b"\x03")
        assert one.end() == 130
        assert one.told() == Ended(130, signal.SIGINT)


@every_shell
@with_and_without_a_terminal
def test_term_is_passed_on_to_the_program_alone(pod: Pod, tty: bool) -> None:
    inner = "trap 'echo child' TERM; read line"
    script = f"trap 'echo caught; exit 5' TERM; sh -c \"{inner}\" <&0 & echo up; while :; do wait; done"
    with pod("sh", "-c", script, tty=tty) as one:
        one.go(go(MARK)).shows(b"up")
        one.term()
        assert one.end() == 5
        assert b"caught" in one.printed()
        assert b"child" not in one.printed()
        assert one.told() == Ended(5)


@every_shell
@with_and_without_a_terminal
def test_a_program_may_ignore_term_any_number_of_times(pod: Pod, tty: bool) -> None:
    script = "n=0; trap 'n=$((n+1)); echo term $n' TERM; echo up; while [ $n -lt 3 ]; do read line; done; exit 4"
    with pod("sh", "-c", script, tty=tty) as one:
        one.go(go(MARK)).shows(b"up")
        for count in (1, 2, 3):
            one.term()
            with suppress(BrokenPipeError):  # where the signal ended its last `read`
                one.send(b"\n")
            one.shows(b"term %d" % count, again=b"\n")
        with suppress(BrokenPipeError):
            one.send(b"\n")
        assert one.end() == 4
        assert one.told() == Ended(4)


@every_shell
@with_and_without_a_terminal
def test_a_program_that_does_not_handle_term_is_ended_by_it(pod: Pod, tty: bool) -> None:
    with pod("sh", "-c", "echo up; exec cat", tty=tty) as one:
        one.go(go(MARK)).shows(b"up")
        one.until(lambda: any(member.argv == [b"cat"] for member in one.members().values()))
        one.term()
        assert one.end() == 143
        assert one.told() == Ended(143, signal.SIGTERM)


@every_shell
@with_and_without_a_terminal
def test_before_it_was_let_go_a_term_ends_it_at_once(pod: Pod, tty: bool) -> None:
    with pod("touch", "ran", tty=tty) as one:
        one.ready().term()
        assert one.end() == 143
        assert not (one.folder / "ran").exists()
        told = one.told()
        assert told is not None
        assert told.lost


@every_shell
def test_input_that_ends_before_the_word_starts_nothing(pod: Pod) -> None:
    with pod("touch", "ran", tty=False) as one:
        one.ready()
        one.send(go(MARK)[:-1])
        one.hang_up()
        assert one.end() == 1
        told = one.told()
        assert told is not None
        assert told.lost
        assert not (one.folder / "ran").exists()


@every_shell
@with_and_without_a_terminal
def test_a_program_killed_from_outside_is_told(pod: Pod, tty: bool) -> None:
    with pod("sh", "-c", "echo up; read line", tty=tty) as one:
        one.go(go(MARK)).shows(b"up")
        os.kill(one.find("sh", "-c", "echo up; read line"), signal.SIGKILL)
        assert one.end() == 137
        assert one.told() == Ended(137, signal.SIGKILL)
        assert one.output() == End(137, None)


@every_shell
@with_and_without_a_terminal
def test_when_its_own_shell_is_killed_nobody_knows_how_it_ended(pod: Pod, tty: bool) -> None:
    with pod("sh", "-c", "echo up; read line", tty=tty) as one:
        one.go(go(MARK)).shows(b"up")
        program = one.find("sh", "-c", "echo up; read line")
        between = one.members()[program].parent
        assert between != one.pid
        os.kill(between, signal.SIGKILL)
        assert one.end() == 1
        told = one.told()
        assert told is not None
        assert told.lost
        assert one.output() == End(None, None)


@every_shell
@with_and_without_a_terminal
def test_what_is_sent_to_all_of_them_ends_nobody_but_the_program(pod: Pod, tty: bool) -> None:
    """As a terminal sends an interrupt, and a program that means well a TERM to its whole group."""
    with pod(
        "sh", "-c", 'trap : HUP INT QUIT TERM; echo up; until [ "$line" = end ]; do read line; done', tty=tty
    ) as one:
        one.go(go(MARK)).shows(b"up")
        reader = one.reader()
        for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
            for pid in [pid for pid in one.members() if pid != one.pid] + [reader]:
                os.kill(pid, signum)
        one.send(b"\nend\n")
        assert one.end(again=b"end\n") == 0
        assert one.told() == Ended(0)


@every_shell
@with_and_without_a_terminal
def test_what_is_orphaned_is_reaped(pod: Pod, tty: bool) -> None:
    script = "i=0; while [ $i -lt 20 ]; do sh -c '(exit 0) & exit 0'; i=$((i+1)); done; echo up; read line"
    with pod("sh", "-c", script, tty=tty) as one:
        one.go(go(MARK)).shows(b"up")
        one.until(lambda: not any(member.zombie for member in one.members().values()))
        one.send(b"\n")
        assert one.end() == 0


@every_shell
@with_and_without_a_terminal
def test_a_program_that_is_not_there_is_told_apart_from_one_that_failed(pod: Pod, tty: bool, tmp_path: Path) -> None:
    with pod("no-such-program", tty=tty) as one:
        assert one.go(go(MARK)).end() == 127
        assert one.told() == Ended(127, launch="not found")
    with PidOne(one.shell, tmp_path / "second", "sh", "-c", "exit 127", tty=tty) as other:
        assert other.go(go(MARK)).end() == 127
        assert other.told() == Ended(127)


@every_shell
def test_a_program_that_cannot_be_executed(pod: Pod) -> None:
    with pod("./data") as one:
        (one.folder / "data").write_text("text")
        assert one.go(go(MARK)).end() == 126
        assert one.told() == Ended(126, launch="not executable")


@every_shell
@with_and_without_a_terminal
@pytest.mark.parametrize("cut", [3, 40, 2500, -1])
def test_a_go_that_was_cut_is_asked_for_again(pod: Pod, tty: bool, cut: int) -> None:
    whole = go(MARK, env={"KEY": "whole"}, files={"f": b"x" * 5000})
    with pod("sh", "-c", 'echo "$KEY"', tty=tty) as one:
        one.ready().send(whole[:cut])
        one.go(whole)  # of whoever comes next
        assert one.end() == 0
        assert one.printed().strip() == b"whole"
        assert one.out.count(bootstrap.READY) == 2


@every_shell
@with_and_without_a_terminal
@pytest.mark.parametrize("size", [0, 1, 70_000])
def test_what_it_leaves_for_others_comes_home(pod: Pod, tty: bool, size: int) -> None:
    left = random.Random(size).randbytes(size)
    with pod("sh", "-c", 'cat "$QD_OUTPUT.from" >"$QD_OUTPUT"; printf end', tty=tty) as one:
        message = go(MARK, env={"QD_OUTPUT": InFolder("output")}, files={"output.from": left})
        assert one.go(message).end() == 0
        found = one.output()
        assert found is not None
        assert (found.output or b"") == left[: bootstrap.MAX_OUTPUT + 1]
        assert one.printed().endswith(b"end")


@every_shell
def test_where_it_runs(pod: Pod, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pod("pwd") as one:
        one.go(go(MARK, cwd=str(tmp_path / "there"))).end()
        assert one.printed().strip() == os.fsencode(tmp_path / "there")
    with PidOne(one.shell, tmp_path / "second", "pwd") as other:
        other.go(go(MARK, cwd="/no/such/place")).end()
        assert other.printed().strip() == os.fsencode(other.folder)
    with PidOne(one.shell, tmp_path / "third", "pwd") as last:
        last.ready().send(go(MARK, cwd="/no/such/place", cwd_needed=True))
        assert last.end() == 127
        assert last.told() == Ended(127, launch="no such directory")


@every_shell
def test_the_program_has_its_own_path_and_the_bootstrap_keeps_its(pod: Pod, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mine").write_text('#!/bin/sh\necho "$PATH"; echo left >"$QD_OUTPUT"\n')
    (tmp_path / "own" / "mine").chmod(0o755)
    with pod("mine") as one:
        message = go(MARK, path=str(tmp_path / "own"), env={"QD_OUTPUT": InFolder("output")})
        assert one.go(message).end() == 0
        assert one.printed().strip() == os.fsencode(tmp_path / "own")
        assert one.output() == End(0, b"left\n")


@every_shell
def test_a_terminal_that_cannot_be_silenced_is_given_no_secret(pod: Pod, tmp_path: Path) -> None:
    (tmp_path / "poor").mkdir()
    with pod("true", path=str(tmp_path / "poor")) as one:
        assert one.end() == 127
        assert bootstrap.READY not in one.out
        assert one.told() == Ended(127, launch="no stty")


@every_shell
def test_without_a_file_for_it_nothing_is_told(pod: Pod) -> None:
    with pod("true") as one:
        one.log.unlink()
        assert one.go(go(MARK)).end() == 0
        assert not one.log.exists()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=40).map(lambda data: data.replace(b"\0", b"\x01")), max_size=4))
def test_quoting(words: list[bytes]) -> None:
    text = b"_qd_line='\n'; printf '%s.' " + b" ".join(map(bootstrap.quote, [*words, b"end"]))
    assert b"\n" not in b"".join(map(bootstrap.quote, words))
    done = subprocess.run(["/bin/sh"], input=text, capture_output=True, check=True, timeout=30, env={"LC_ALL": "C"})
    assert done.stdout == b"".join(word + b"." for word in [*words, b"end"])


@pytest.mark.parametrize(
    "what",
    [
        {"env": {"A": "x\0y"}},
        {"env": {"A B": "x"}},
        {"env": {"A;rm": "x"}},
        {"env": {"IFS": "x"}},
        {"env": {"PATH": "x"}},
        {"env": {"_qd_dir": "x"}},
        {"argv": ("a\0",)},
        {"files": {"../x": b""}},
        {"files": {"/x": b""}},
        {"files": {"a//b": b""}},
        {"files": {"": b""}},
    ],
)
def test_what_no_shell_can_be_told_is_refused(what: dict[str, object]) -> None:
    with pytest.raises(ExecutorError if "files" in what else InvalidTask):
        go(MARK, **what)  # type: ignore[arg-type]
    with pytest.raises(ExecutorError):
        go("$(reboot)")


@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_end_mark_is_read_or_not_but_never_fails(noise: bytes, cut: int) -> None:
    whole = b"out" + bootstrap.end_opening(MARK) + noise + b"\x1b\\"
    bootstrap.parse_end(whole, MARK)
    assert bootstrap.parse_end(noise[:cut], MARK) is None
    good = b"out" + bootstrap.end_opening(MARK) + b"3;aGk=\r\n\x1b\\"
    assert bootstrap.parse_end(good + noise, MARK) == End(3, b"hi")
    for end in range(len(good)):
        assert bootstrap.parse_end(good[:end], MARK) is None


@given(st.text(max_size=100))
def test_any_termination_message_is_read_or_not_but_never_fails(text: str) -> None:
    found = bootstrap.parse_termination(text)
    assert found is None or isinstance(found, Ended)
    for wrong in ("", "[]", "1", '{"version":2,"code":1}', '{"version":1}', '{"version":1,"code":"1"}', "[" * 5000):
        assert bootstrap.parse_termination(wrong) is None

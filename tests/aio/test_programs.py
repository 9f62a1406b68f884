"""Asking a program: bounded in time and size, whoever holds its pipe; nothing of it is left."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from lite.aio.programs import Answer, ask

LEAVES_A_HOLDER_OF_ITS_PIPE = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    open(sys.argv[1], "w").write(str(os.getpid()))
    time.sleep(600)
while not os.path.exists(sys.argv[1]): time.sleep(0.01)
os.write(1, b"x" * 500_000 if sys.argv[2] == "much" else b"")
time.sleep(600)
"""


def python(program: str, *arguments: str) -> tuple[str, ...]:
    return sys.executable, "-c", program, *arguments


async def test_what_it_says_and_how_it_ends() -> None:
    assert await ask(python("print('yes'); raise SystemExit(3)"), seconds=30, most=100) == Answer(3, b"yes\n")
    assert await ask(python("import os; print(os.environ['A'])"), seconds=30, most=9, env={"A": "b"}) == Answer(
        0, b"b\n"
    )


async def test_one_that_says_too_much_is_ended() -> None:
    assert await ask(python("while True: print('much' * 1000)"), seconds=30, most=100) == Answer(
        -9, b"much" * 25 + b"m"
    )


async def test_one_that_cannot_be_started() -> None:
    with pytest.raises(FileNotFoundError):
        await ask(("/no/such/program",), seconds=30, most=100)


@pytest.mark.parametrize("says", ["much", "nothing"])
async def test_whoever_holds_its_pipe_holds_nobody_up(tmp_path: Path, says: str) -> None:
    pid = tmp_path / "pid"
    try:
        if says == "much":
            answer = await ask(python(LEAVES_A_HOLDER_OF_ITS_PIPE, str(pid), says), seconds=60, most=100)
            assert answer.code == -9
        else:
            with pytest.raises(TimeoutError):
                await ask(python(LEAVES_A_HOLDER_OF_ITS_PIPE, str(pid), says), seconds=2, most=100)
    finally:
        if pid.exists():
            os.kill(int(pid.read_text()), 9)

"""A holder shows no secret of its program: not in the recording, to no client, in no status, not in `$QD_OUTPUT`."""

from __future__ import annotations

import base64
import os
import signal
import sys
from pathlib import Path

import pytest

from lite.executors.local.handle import parse_handle
from lite.model.session import Activity
from lite.model.task import OutcomeKind, Reason
from lite.terminal import packets
from tests.executors.sessions import (
    Desk,
    acked,
    activity,
    ended,
    finish,
    holder_of,
    read_all,
    read_until,
    recorded,
    until,
)

CANARY = "sk-canary-4f3e2d1c0b9a"
STARS = b"*" * len(CANARY)
CODED = base64.b64encode(CANARY.encode())


def traces(desk: Desk) -> list[str]:
    """Files below the home that hold the canary in any form."""
    looked_for = (CANARY.encode(), CODED.rstrip(b"=")[:-1])
    files = [path for path in desk.home.root.rglob("*") if path.is_file() and not path.is_symlink()]
    return [str(path) for path in files if any(one in path.read_bytes() for one in looked_for)]


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", "import os, sys, time; k = os.environ['KEY']; " + code)


@pytest.mark.parametrize("stdio", ["terminal", "pipes"])
async def test_what_is_printed_is_hidden_however_it_is_printed(desk: Desk, stdio: str) -> None:
    code = (
        "print('whole', k); print('coded', __import__('base64').b64encode(k.encode()).decode(), flush=True); "
        "os.write(1, b'single '); [os.write(1, c.encode()) for c in k]; os.write(1, b'\\n'); "
        "os.write(2, b'err ' + k.encode() + b'\\n'); print('end')"
    )
    executor, handle = await desk.run(*python(code), stdio=stdio, env={"KEY": CANARY}, secrets=(CANARY,))
    assert (await ended(executor, handle)).kind is OutcomeKind.SUCCEEDED
    shown = recorded(handle)
    for words in (b"whole " + STARS, b"single " + STARS, b"err " + STARS, b"coded " + b"*" * 20, b"end"):
        assert words in shown, shown
    assert not traces(desk)


async def test_an_attached_client_sees_stars_and_a_prompt_that_looks_like_a_beginning(desk: Desk) -> None:
    code = "print('key: ' + k[:3], end='', flush=True); sys.stdin.readline(); print(k); print('bye')"
    executor, handle = await desk.run(*python(code), env={"KEY": CANARY}, secrets=(CANARY,))
    stream = await executor.attach(handle, control=True, offset=0)
    assert (await read_until(stream, b"key: " + CANARY[:3].encode())).endswith(CANARY[:3].encode())
    assert await acked(stream, CANARY.encode() + b"\n") == (True, "")
    got, gaps, _ = await read_all(stream)
    await stream.aclose()
    assert not gaps
    assert STARS in got
    assert CANARY.encode() not in got
    assert (await ended(executor, handle)).kind is OutcomeKind.SUCCEEDED
    assert CANARY.encode() not in recorded(handle, packets.IN)
    assert not traces(desk)


async def test_a_status_and_a_title_say_no_secret(desk: Desk) -> None:
    code = (
        "m = __import__('base64').b64encode(b'May I use ' + k.encode() + b' now?').decode(); "
        "os.write(1, f'\\x1b]0;{k}\\x07\\x1b]7501;state=blocked:msg={m}\\x1b\\\\'.encode()); time.sleep(600)"
    )
    executor, handle = await desk.run(*python(code), env={"KEY": CANARY}, secrets=(CANARY,))
    assert CANARY not in await activity(executor, handle, Activity.WAITING)
    await finish(executor, handle)
    assert not traces(desk)


@pytest.mark.parametrize("way", ["file", "link", "chunks", "huge"])
async def test_the_output_file_is_clean_before_anybody_is_told(desk: Desk, way: str) -> None:
    write = {
        "file": "open(o, 'w').write(f'token={k}\\n')",
        "link": "open('elsewhere', 'w').write(k); os.symlink(os.path.abspath('elsewhere'), o)",
        "chunks": "f = open(o, 'w', buffering=1); [f.write(c) for c in 'a' * 5000 + k]",
        "huge": "open(o, 'w').write('x' * (1 << 20) + k)",
    }[way]
    directory = desk.home.session("told-1")
    env = {"KEY": CANARY, "QD_OUTPUT": str(directory / "output")}
    code = f"o = os.environ['QD_OUTPUT']; {write}"
    executor, handle = await desk.run(*python(code), env=env, secrets=(CANARY,), task="told")
    assert (await ended(executor, handle)).kind is OutcomeKind.SUCCEEDED
    output = directory / "output"
    assert not output.is_symlink()
    assert CANARY.encode() not in output.read_bytes()
    assert way == "huge" or STARS in output.read_bytes()
    assert output.stat().st_size > 1 << 16 or way != "huge"
    assert not traces(desk)


async def test_a_holder_that_dies_leaves_no_secret(desk: Desk) -> None:
    code = "open(os.environ['QD_OUTPUT'], 'w').write(k); print('written', flush=True); time.sleep(600)"
    output = desk.home.session("lost-1") / "output"
    env = {"KEY": CANARY, "QD_OUTPUT": str(output)}
    executor, handle = await desk.run(*python(code), env=env, secrets=(CANARY,), task="lost")
    await until(output.exists)
    os.kill(holder_of(handle), signal.SIGKILL)
    assert (await ended(executor, handle)).reason == Reason.LOST
    assert not traces(desk)


async def test_what_a_dead_supervisor_prepared_is_gone_with_the_next_attempt(desk: Desk) -> None:
    left = desk.home.session("again-1")
    left.mkdir(parents=True)
    (left / "launch").write_text(CANARY)
    request = desk.request("true", task="again", attempt=2, directory=str(desk.home.session("again-2")))
    executor = await desk.executor()
    handle = await executor.start(request, _ignore)
    await ended(executor, handle)
    assert Path(parse_handle(handle).directory).name == "again-2"
    assert not traces(desk)


async def test_without_secrets_nothing_is_looked_at(desk: Desk) -> None:
    executor, handle = await desk.run(*python("print(k)"), env={"KEY": CANARY})
    await ended(executor, handle)
    assert CANARY.encode() in recorded(handle)


async def _ignore(_handle: str) -> None:
    pass

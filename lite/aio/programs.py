"""Ask a program a question: what it prints, within bounds, and nothing of it left behind."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Answer(NamedTuple):
    code: int  # the exit code, minus the signal's number after a signal
    output: bytes  # of its stdout; one byte more than allowed when it had more to say and was ended for it


async def ask(argv: Sequence[str], *, seconds: float, most: int, env: Mapping[str, str] | None = None) -> Answer:
    """Run it without a shell, in a group of its own that does not outlive the call.

    Raises OSError when it cannot be started, TimeoutError when it is not over in time.
    """
    # a pipe of our own: before 3.12 asyncio's tells nobody of a program's end while anybody has the pipe open
    reading, writing = os.pipe()
    try:
        null = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=null, stdout=writing, stderr=null, env=env, start_new_session=True
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    stream = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(reading, "rb", buffering=0)
    )
    output = b""
    try:
        async with asyncio.timeout(seconds):
            while len(output) <= most and (more := await stream.read(most + 1 - len(output))):
                output += more
            if len(output) > most:
                _end(process)
            code = await process.wait()
    finally:
        transport.close()
        _end(process)
        await process.wait()
    return Answer(code, output)


def _end(process: asyncio.subprocess.Process) -> None:
    """The group is its own: it was made the leader before it ran."""
    if process.returncode is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

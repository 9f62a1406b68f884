"""The supervisor's connection to its nursery, started on demand."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import time

from lite.aio.tasks import Jobs
from lite.errors import ExecutorError
from lite.executors.local import nursery
from lite.home import Home
from lite.restart import CACHE, self_command
from lite.terminal import packets

log = logging.getLogger(__name__)

_READY_SECONDS = 20.0
_ANSWER_SECONDS = 30.0


class NurseryGone(ExecutorError):
    """It went away before it answered: whether it did what was asked is not known."""

    code = "nursery-gone"


class NurseryLink:
    """One connection for all requests; a broken one is replaced at the next request."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = asyncio.Lock()
        self._writer: asyncio.StreamWriter | None = None
        self._answers: dict[tuple[int, str], asyncio.Future[list[str]]] = {}
        self._jobs = Jobs("nursery")

    def __repr__(self) -> str:
        return f"<NurseryLink {'connected' if self._writer else 'apart'}, {len(self._answers)} asked>"

    async def fork(self, session: str, directory: str, socket: str) -> tuple[int, int]:
        """A new holder, prepared, not yet let go: its pid and start time. Raises `ExecutorError`."""
        request = nursery.pack(nursery.FORK, session, directory, socket)
        _, pid, start, error = await self._ask(nursery.FORKED, session, request)
        if error:
            raise ExecutorError(f"no holder for the session: {error}")
        return int(pid), int(start)

    async def sweep(self, session: str, directory: str) -> bool:
        """Have everything a dead holder left killed. False when it is not dead. Raises `ExecutorError`."""
        request = nursery.pack(nursery.SWEEP, session, directory)
        return (await self._ask(nursery.SWEPT, session, request))[1] == "gone"

    async def connect(self) -> None:
        """Find or start the nursery. Raises `ExecutorError`."""
        await self._connected()

    async def close(self) -> None:
        await self._jobs.cancel()
        self._drop()

    async def _ask(self, answer: int, session: str, request: bytes) -> list[str]:
        writer = await self._connected()
        key = (answer, session)
        future = self._answers.get(key)
        if future is None:
            future = self._answers[key] = asyncio.get_running_loop().create_future()
            writer.write(request)
        try:
            return await asyncio.wait_for(asyncio.shield(future), _ANSWER_SECONDS)
        except TimeoutError:
            raise ExecutorError("the nursery does not answer", hint=f"see {self._home.nursery_log}") from None

    async def _connected(self) -> asyncio.StreamWriter:
        async with self._lock:
            if self._writer is not None:
                return self._writer
            deadline = time.monotonic() + _READY_SECONDS
            while True:
                try:
                    return await self._connect()
                except OSError as error:
                    if time.monotonic() > deadline:
                        hint = f"see {self._home.nursery_log}"
                        raise ExecutorError(f"the nursery cannot be reached: {error}", hint=hint) from error
                if not await self._start():
                    await asyncio.sleep(0.02)  # another one is just starting or ending

    async def _connect(self) -> asyncio.StreamWriter:
        reader, writer = await asyncio.open_unix_connection(self._home.nursery_socket)
        decoder = packets.Decoder()
        try:
            # it may be about to end: only after its greeting it counts us
            found = decoder.feed(await asyncio.wait_for(reader.read(1 << 16), 5.0))
        except TimeoutError:
            found = []
        if not found:
            writer.close()
            raise ConnectionResetError("no greeting")
        self._writer = writer
        self._jobs.spawn(self._listen(reader, writer, decoder), "nursery")
        return writer

    async def _listen(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, decoder: packets.Decoder
    ) -> None:
        try:
            while data := await reader.read(1 << 16):
                for kind, payload in decoder.feed(data):
                    fields = nursery.unpack(payload)
                    future = self._answers.pop((kind, fields[0]), None)
                    if future is not None and not future.done():
                        future.set_result(fields)
        except (OSError, ValueError) as error:
            log.warning("nursery: %s", error)
        finally:
            if self._writer is writer:
                self._drop()

    def _drop(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        answers, self._answers = self._answers, {}
        for future in answers.values():
            if not future.done():
                future.set_exception(NurseryGone("the nursery has gone away"))
                future.exception()  # seen, also if nobody waits any more

    async def _start(self) -> bool:
        """True when it says that it listens."""
        reader, writer = os.pipe()
        try:
            process = _spawn(self._home, writer)
        except OSError as error:
            os.close(reader)
            raise ExecutorError(f"the nursery cannot be started: {error}") from error
        finally:
            os.close(writer)
        try:
            await asyncio.to_thread(process.wait)  # it forks at once and ends
            return await asyncio.wait_for(_first_byte(reader), _READY_SECONDS)
        except TimeoutError:
            return False


def _spawn(home: Home, ready: int) -> subprocess.Popen[bytes]:
    """Popen, not posix_spawn: that one leaves two signals ignored for good."""
    environment = {key: value for key, value in os.environ.items() if key == CACHE or not key.startswith("QD_")}
    environment["QD_HOME"] = str(home.root)
    argv = self_command("_nursery", str(home.root), str(home.nursery_socket), str(ready))
    descriptor = os.open(home.nursery_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        return subprocess.Popen(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            pass_fds=(ready,),
            start_new_session=True,
        )
    finally:
        os.close(descriptor)


async def _first_byte(descriptor: int) -> bool:
    """Whether something is written before the pipe is closed; closes it."""
    loop = asyncio.get_running_loop()
    stream = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(descriptor, "rb")
    )
    try:
        return bool(await stream.read(1))
    finally:
        transport.close()

"""Sockets for clients on this machine that lead to sessions of other workers: they speak as a holder's socket does.

One per session, from the first offer until its last client has gone. Only our own user may connect.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lite.aio.tasks import Jobs, spawn
from lite.api.server import listen
from lite.api.server.streams import Streams
from lite.errors import QuarterdeckError, SessionRefused
from lite.terminal import packets

if TYPE_CHECKING:
    from lite.engine.operations import Operations
    from lite.ports import TerminalStream

OFFER_SECONDS = 30.0  # an offer nobody takes up
_HELLO_SECONDS = 10.0
_MAX_CLIENTS = 64  # as a holder
_CHUNK = 1 << 16
_ROLES = {packets.WATCH: False, packets.CONTROL: True}
_TAKEN = (packets.INPUT, packets.RESIZE, packets.INSPECT, packets.SIGNAL, packets.STOP)


class RelaySockets:
    """Those of one server."""

    def __init__(self, operations: Operations, streams: Streams) -> None:
        self._operations = operations
        self._streams = streams
        self._open: dict[str, _RelaySocket] = {}

    def __repr__(self) -> str:
        return f"<RelaySockets {sorted(self._open)}>"

    def sweep(self) -> None:
        """Remove what a killed server left."""
        directory = self._operations.relay_socket("").parent
        for left in directory.glob("*.sock*") if directory.is_dir() else ():
            left.unlink(missing_ok=True)

    def offer(self, session: str, worker: str) -> str:
        """The path at which to reach `session`, which is with `worker`. Raises `QuarterdeckError`."""
        found = self._open.get(session)
        if found is None:
            path = self._operations.relay_socket(session)
            found = _RelaySocket(self._operations, self._streams, session, path, lambda: self._open.pop(session, None))
            self._open[session] = found
        found.offered(worker)
        return str(found.path)

    async def close(self) -> None:
        for each in list(self._open.values()):
            await each.close()


class _RelaySocket:
    def __init__(
        self, operations: Operations, streams: Streams, session: str, path: Path, gone: Callable[[], object]
    ) -> None:
        self.path = path
        self._operations = operations
        self._streams = streams
        self._session = session
        self._worker = ""
        self._gone = gone
        self._offers = 0  # not taken up yet
        self._expiry: asyncio.TimerHandle | None = None
        self._clients = Jobs(f"relay of {session}")
        self._listening = listen.bind(str(path))
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._listening, self._accept)

    def __repr__(self) -> str:
        return f"<_RelaySocket {self._session} at {self._worker}, {len(self._clients)} clients>"

    def offered(self, worker: str) -> None:
        self._worker = worker
        self._offers += 1
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = self._loop.call_later(OFFER_SECONDS, self._expired)

    async def close(self) -> None:
        self._shut()
        await self._clients.cancel()

    def _shut(self) -> None:
        if self._listening.fileno() < 0:
            return
        if self._expiry is not None:
            self._expiry.cancel()
        self._loop.remove_reader(self._listening)
        self._listening.close()
        self.path.unlink(missing_ok=True)
        self._gone()

    def _expired(self) -> None:
        self._offers = 0
        self._left()

    def _left(self) -> None:
        if not self._clients and not self._offers:
            self._shut()

    def _accept(self) -> None:
        try:
            sock, _ = self._listening.accept()
        except OSError:
            return
        uid = listen.peer_uid(sock)
        if len(self._clients) >= _MAX_CLIENTS or (uid is not None and uid != os.getuid()):
            sock.close()
            return
        sock.setblocking(False)
        self._offers = max(self._offers - 1, 0)
        client = self._clients.spawn(self._serve(sock), f"client of {self._session}")
        client.add_done_callback(lambda _: self._left())

    async def _serve(self, sock: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=sock)
        try:
            self._streams.enter()
            try:
                await self._relay(_Client(reader, writer))
            finally:
                self._streams.leave()
        except (OSError, ValueError, packets.Malformed, TimeoutError):
            pass  # gone, or it does not speak as a client does
        except QuarterdeckError as error:
            writer.write(packets.encode(packets.REFUSED, error.message.encode("utf-8", "replace")))
        finally:
            writer.close()

    async def _relay(self, client: _Client) -> None:
        async with asyncio.timeout(_HELLO_SECONDS):
            kind, payload = await client.receive()
        if kind != packets.HELLO:
            raise ValueError("no HELLO")
        _, role, _, offset, cols, rows = packets.parse_hello(payload)
        if role not in _ROLES:
            raise SessionRefused("another machine's supervisor has this session")
        stream = await self._operations.open_remote(
            self._worker, self._session, control=_ROLES[role], offset=None if offset == packets.SAFE_MARK else offset
        )
        outward = spawn(client.outward(stream), f"output of {self._session}")
        jobs = {outward, spawn(client.inward(stream, cols, rows), "keys"), spawn(self._streams.closing.wait(), "end")}
        try:
            await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            await stream.aclose()
        if not outward.cancelled():
            outward.result()


class _Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._decoder = packets.Decoder()
        self._found: list[packets.Packet] = []

    async def receive(self) -> packets.Packet:
        """Raises `ConnectionResetError` at the end, ValueError."""
        while not self._found:
            data = await self._reader.read(_CHUNK)
            if not data:
                raise ConnectionResetError("the client has gone")
            self._found = self._decoder.feed(data)
        return self._found.pop(0)

    async def outward(self, stream: TerminalStream) -> None:
        """A client that takes nothing holds up nobody: its stream goes on where it was."""
        while (packet := await stream.read()) is not None:
            self._writer.write(packets.encode(*packet))
            await self._writer.drain()

    async def inward(self, stream: TerminalStream, cols: int, rows: int) -> None:
        if cols and rows:
            await stream.write((packets.RESIZE, packets.resize(cols, rows)[5:]))
        while True:
            kind, payload = await self.receive()
            if kind in _TAKEN:
                try:
                    await stream.write((kind, payload))
                except QuarterdeckError:
                    continue  # it has ended; what it still says goes out

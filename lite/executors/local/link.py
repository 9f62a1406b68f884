"""The supervisor's connection to one holder: replies in order, status as it comes, and the one outcome."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from lite.aio.tasks import Jobs
from lite.errors import ExecutorError, SessionRefused
from lite.executors.local.exitfile import read_exit
from lite.executors.local.handle import Handle
from lite.executors.local.outcomes import outcome_of, parse_exit
from lite.model.session import Activity, Status
from lite.model.task import Outcome, OutcomeKind, Reason
from lite.terminal import packets

log = logging.getLogger(__name__)

_REPLY_SECONDS = 10.0
_CHUNK = 1 << 16


class Link:
    """`lost` is called when the holder is gone without a word; it returns once nothing of the session is left."""

    def __init__(self, handle: Handle, token: int, jobs: Jobs, lost: Callable[[Link], Awaitable[Outcome]]) -> None:
        self.handle = handle
        self.token = token
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.state = packets.PREPARED
        self.started_at: int | None = None
        self.status: Status | None = None
        self._jobs = jobs
        self._lost = lost
        self._writer: asyncio.StreamWriter | None = None
        self._protocol = packets.PROTOCOL  # the holder's
        self._until: int | None = None  # what it was told last by `keep`
        self._replies: dict[int, deque[asyncio.Future[bytes]]] = {packets.ACK: deque(), packets.INFO: deque()}
        self._callbacks: list[Callable[[Status], None]] = []

    def __repr__(self) -> str:
        return f"<Link {self.handle.session} state {self.state}{' ended' if self.outcome.done() else ''}>"

    async def connect(self, seconds: float) -> None:
        """Say hello. Raises OSError when nobody listens, TimeoutError, `SessionRefused` when fenced off."""
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_unix_connection(self.handle.socket)
            decoder = packets.Decoder()
            try:
                writer.write(packets.hello(packets.QUIET, self.token))
                found: list[packets.Packet] = []
                while not found:
                    data = await reader.read(_CHUNK)
                    if not data:
                        raise ConnectionResetError("the session hung up")
                    found = decoder.feed(data)
                kind, payload = found[0]
                if kind == packets.REFUSED:
                    raise SessionRefused(payload.decode("utf-8", "replace"))
                self._protocol, pid, *_, self.state = packets.parse_welcome(payload)
                if self._protocol < packets.OLDEST_PROTOCOL or pid != self.handle.pid:
                    raise ConnectionResetError(f"somebody else answers there: pid {pid}, protocol {self._protocol}")
            except BaseException:
                writer.close()
                raise
        self._writer = writer
        self._say_until()
        for kind, payload in found[1:]:
            self._take(kind, payload)
        self._jobs.spawn(self._listen(reader, writer, decoder), self.handle.session)

    def go(self) -> None:
        assert self._writer is not None
        self._writer.write(packets.encode(packets.GO))
        self.state = packets.RUNNING

    def keep(self, until: int) -> None:
        """The session may go on until this time (ms since boot); said again should the connection be made anew."""
        if self._until is None and self._protocol < packets.KEEP_PROTOCOL:
            log.warning("%s: its holder is of an older version and would go on without its lease", self.handle.session)
        self._until = until
        self._say_until()

    def _say_until(self) -> None:
        if self._writer is not None and self._until is not None and self._protocol >= packets.KEEP_PROTOCOL:
            self._writer.write(packets.keep(self._until))

    async def abandon(self) -> None:
        """Hang up; a session that was not let go ends by itself, and this returns when it has."""
        writer = self._writer
        if writer is None or self.outcome.done():
            return
        if writer.can_write_eof():
            writer.write_eof()
        try:
            await asyncio.wait_for(asyncio.shield(self.outcome), _REPLY_SECONDS)
        except TimeoutError:
            log.warning("%r does not end", self)

    async def ask(self, request: bytes, reply: int) -> bytes:
        """Raises `ExecutorError` when the session ends or stays silent before it answers."""
        writer = self._writer
        if writer is None or self.outcome.done():
            raise SessionRefused("the session has ended")
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._replies[reply].append(future)
        writer.write(request)
        try:
            return await asyncio.wait_for(future, _REPLY_SECONDS)
        except TimeoutError:
            raise ExecutorError(f"session {self.handle.session} does not answer") from None

    def watch(self, callback: Callable[[Status], None]) -> None:
        self._callbacks.append(callback)
        if self.status is not None:
            callback(self.status)

    def close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        for queue in self._replies.values():
            while queue:
                future = queue.popleft()
                if not future.done():
                    future.set_exception(SessionRefused("the session has ended"))

    def ended(self, outcome: Outcome) -> None:
        self.state = packets.ENDED
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    async def _listen(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, decoder: packets.Decoder
    ) -> None:
        try:
            while data := await reader.read(_CHUNK):
                for kind, payload in decoder.feed(data):
                    self._take(kind, payload)
        except (OSError, ValueError, packets.Malformed) as error:
            log.warning("%r: %s", self, error)
        finally:
            if self._writer is writer:
                self.close()
        if not self.outcome.done():
            fields = parse_exit(read_exit(self.handle.directory))
            self.ended(outcome_of(fields) if fields is not None else await self._lost(self))

    def _take(self, kind: int, payload: bytes) -> None:
        if kind in self._replies:
            queue = self._replies[kind]
            if queue and not (future := queue.popleft()).done():
                future.set_result(payload)
        elif kind == packets.STATUS:
            since, activity, source, rule, text = packets.parse_status(payload)
            self.status = Status(Activity(activity), source, rule, since, text)
            for callback in self._callbacks:
                callback(self.status)
        elif kind == packets.STARTED:
            self.started_at = packets.parse_started(payload)[1]
        elif kind == packets.EXIT:
            fields = parse_exit(payload)
            if fields is not None:
                self.ended(outcome_of(fields))
        elif kind == packets.REFUSED:
            detail = payload.decode("utf-8", "replace")
            self.ended(Outcome(OutcomeKind.UNEXECUTABLE, Reason.LOST, detail))

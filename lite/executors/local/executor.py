"""The local executor: sessions in holders that outlive this process. Implements `lite.ports.Executor`."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from lite.aio.tasks import Jobs
from lite.errors import ExecutorError, HandleGone, SessionRefused
from lite.executors.leash import boot_ms
from lite.executors.local import processes
from lite.executors.local.cleanup import Cleanup
from lite.executors.local.exitfile import read_exit
from lite.executors.local.handle import Handle, parse_handle
from lite.executors.local.holder import STARTED_NAME
from lite.executors.local.launchfile import LaunchFile, reclaim_launch, remove_launch, write_launch
from lite.executors.local.link import Link
from lite.executors.local.nursery_link import NurseryGone, NurseryLink
from lite.executors.local.outcomes import outcome_of, parse_exit
from lite.executors.local.streams import RecordedStream, SocketStream
from lite.executors.secret_forms import forms
from lite.home import Home
from lite.model.session import ExecutorCapabilities, Inspection, SessionRequest, Status, session_id
from lite.model.task import Outcome, OutcomeKind, Reason
from lite.ports import RecordHandle, TerminalStream
from lite.recordings.layout import FOLDER
from lite.terminal import packets

log = logging.getLogger(__name__)

_CONNECT_SECONDS = 15.0


class LocalExecutor:
    """One per supervisor and home. A handle is known here after `start` or `recover`."""

    name = "local"

    def __init__(self, home: Home) -> None:
        self.connect_seconds = _CONNECT_SECONDS  # how long a holder may take to greet us
        self._home = home
        self._nursery = NurseryLink(home)
        self._links: dict[str, Link] = {}
        self._jobs = Jobs("local executor")
        self._boot = ""

    def __repr__(self) -> str:
        return f"<LocalExecutor {self._home.root}, {len(self._links)} sessions>"

    def capabilities(self) -> ExecutorCapabilities:
        return ExecutorCapabilities(terminal=True, recover=True, signals=True)

    async def open(self) -> None:
        try:
            self._home.create()
            self._boot = processes.boot_id()
        except OSError as error:
            raise ExecutorError(f"{error.filename}: {error.strerror}") from error

    async def close(self) -> None:
        await self._jobs.cancel()
        for link in self._links.values():
            link.close()
        self._links.clear()
        await self._nursery.close()

    async def start(self, request: SessionRequest, record: RecordHandle) -> str:
        self._prepare(request)
        if request.attempt > 1:  # its supervisor may have died before a holder took it
            remove_launch(str(self._home.session(session_id(request.task, request.attempt - 1))))
        socket = str(self._home.session_socket(request.session))
        try:
            pid, start = await self._fork(request, socket)
        except BaseException:
            remove_launch(request.directory)
            raise
        handle = Handle(request.session, pid, start, self._boot, socket, request.directory)
        text = str(handle)
        link = Link(handle, request.token, self._jobs, self._lost)
        try:
            await link.connect(self.connect_seconds)
        except (OSError, TimeoutError, SessionRefused) as error:
            await self._sweep(handle)
            raise ExecutorError(f"the session's holder does not answer: {error}") from error
        self._links[text] = link
        try:
            await record(text)
        except BaseException:
            self._links.pop(text, None)
            await link.abandon()
            link.close()
            raise
        link.go()
        return text

    async def recover(self, handle: str, token: int) -> None:
        known = self._links.get(handle)
        if known is not None and not known.outcome.done() and token <= known.token:
            return
        parsed = parse_handle(handle)
        if not _same_place(parsed.socket, self._home.session_socket(parsed.session)):
            raise HandleGone(f"session {parsed.session} belongs to another home")  # perhaps on this very machine
        link = Link(parsed, token, self._jobs, self._lost)
        try:
            await self._reconnect(link)
        except SessionRefused as error:
            raise HandleGone(error.message) from error
        except (OSError, TimeoutError):
            fields = parse_exit(read_exit(parsed.directory))
            if fields is None:
                await self._sweep(parsed)
                raise HandleGone(
                    f"the holder of session {parsed.session} is gone; nothing of it runs any more"
                ) from None
            link.ended(outcome_of(fields))
        self._links[handle] = link
        if link.state == packets.PREPARED and not link.outcome.done():
            await link.abandon()  # whoever prepared it never let it go; nor do we

    async def wait(self, handle: str) -> Outcome:
        return await asyncio.shield(self._link(handle).outcome)

    async def inspect(self, handle: str) -> Inspection:
        link = self._link(handle)
        if not link.outcome.done():
            try:
                reply = await link.ask(packets.encode(packets.INSPECT), packets.INFO)
            except SessionRefused:
                pass  # it has just ended
            else:
                alive, pid, last, offset, cols, rows = packets.parse_info(reply)
                return Inspection(bool(alive), pid, link.started_at, last or None, offset, link.status, cols, rows)
        fields = parse_exit(read_exit(link.handle.directory)) or {}
        return Inspection(
            False, int(fields.get("pid") or 0), fields.get("started_at"), offset=int(fields.get("offset") or 0)
        )

    async def signal(self, handle: str, signum: int) -> None:
        await self._ask(self._link(handle), packets.encode(packets.SIGNAL, bytes([signum & 0xFF])))

    async def stop(self, handle: str, *, grace_ms: int) -> None:
        link = self._link(handle)
        if link.outcome.done():
            return
        try:
            await self._ask(link, packets.encode(packets.STOP, max(grace_ms, 0).to_bytes(4, "big")))
        except SessionRefused:
            if not link.outcome.done():
                raise

    async def destroy(self, handle: str) -> None:
        parsed = parse_handle(handle)
        link = self._links.get(handle)
        if link is not None and not link.outcome.done():
            raise ExecutorError(f"session {parsed.session} still runs")
        self._links.pop(handle, None)
        if link is not None:
            link.close()
        remove_launch(parsed.directory)
        fields = parse_exit(read_exit(parsed.directory)) or {}
        if fields.get("recorded") == 0:
            await asyncio.to_thread(shutil.rmtree, f"{parsed.directory}/{FOLDER}", ignore_errors=True)
        _remove(parsed.socket)
        _remove(f"{parsed.directory}/{STARTED_NAME}")

    async def attach(self, handle: str, *, control: bool, offset: int | None = None) -> TerminalStream:
        parsed = parse_handle(handle)
        role = packets.CONTROL if control else packets.WATCH
        wanted = packets.SAFE_MARK if offset is None else offset
        try:
            async with asyncio.timeout(self.connect_seconds):
                stream = SocketStream(*await asyncio.open_unix_connection(parsed.socket))
                try:
                    await stream.greet(role, wanted)
                except BaseException:
                    await stream.aclose()
                    raise
            return stream
        except (OSError, TimeoutError) as error:
            ended = read_exit(parsed.directory)
            if ended is None:
                raise HandleGone(f"session {parsed.session} cannot be reached: {error}") from error
            return RecordedStream(parsed.directory, wanted, ended)

    async def keep(self, handle: str, ttl_ms: int) -> None:
        link = self._link(handle)
        if not link.outcome.done():
            link.keep(boot_ms() + max(ttl_ms, 0))

    def watch_status(self, handle: str, callback: Callable[[Status], None]) -> None:
        self._link(handle).watch(callback)

    def address(self, handle: str) -> str:
        return parse_handle(handle).socket

    # helpers

    async def _fork(self, request: SessionRequest, socket: str) -> tuple[int, int]:
        try:
            return await self._nursery.fork(request.session, request.directory, socket)
        except NurseryGone:
            if not reclaim_launch(request.directory):
                raise  # there may be a holder, which will wait for us in vain and end
            return await self._nursery.fork(request.session, request.directory, socket)

    def _link(self, handle: str) -> Link:
        link = self._links.get(handle)
        if link is None:
            raise HandleGone("this session was neither started nor recovered here")
        return link

    async def _ask(self, link: Link, request: bytes) -> None:
        accepted, reason = packets.parse_ack(await link.ask(request, packets.ACK))
        if not accepted:
            raise SessionRefused(reason)

    def _prepare(self, request: SessionRequest) -> None:
        """The session's folder, its files and its launch. Raises `ExecutorError`."""
        launch = request.launch
        directory = Path(request.directory)
        env = {**request.env, "QD_HOME": str(self._home.root), "QD_SESSION": request.session}
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name, content in launch.files.items():
                if Path(name).name != name:
                    raise ExecutorError(f"a launch cannot write {name!r}: it has to stay in the session's folder")
                _write_private(directory / name, content)
            write_launch(
                request.directory,
                LaunchFile(
                    session=request.session,
                    home=str(self._home.root),
                    token=request.token,
                    cwd=request.cwd,
                    cols=request.cols,
                    rows=request.rows,
                    cap_bytes=request.cap_bytes,
                    record=request.record,
                    stdio=launch.stdio,
                    stdin=str(directory / launch.stdin_file) if launch.stdin == "file" else launch.stdin,
                    argv=launch.argv,
                    env={os.fsencode(key): os.fsencode(value) for key, value in env.items()},
                    stdin_data=launch.stdin_data,
                    needles=forms(request.secrets),
                ),
            )
        except OSError as error:
            raise ExecutorError(f"{error.filename or directory}: {error.strerror}") from error
        except ValueError as error:
            raise ExecutorError(str(error)) from error

    async def _reconnect(self, link: Link) -> None:
        try:
            await link.connect(self.connect_seconds)
        except TimeoutError:
            holder = link.handle.holder()
            if holder is None:
                raise
            processes.send(holder, signal.SIGCONT)  # silence alone condemns nobody: it may be stopped
            await link.connect(self.connect_seconds)

    async def _lost(self, link: Link) -> Outcome:
        """The connection ended without EXIT and without `exit.json`."""
        handle = link.handle
        if handle.holder() is not None:
            try:
                await self._reconnect(link)
                return await link.outcome
            except SessionRefused as error:
                return Outcome(OutcomeKind.UNEXECUTABLE, Reason.LOST, error.message)
            except (OSError, TimeoutError):
                pass  # it is dying
        await self._sweep(handle)
        fields = parse_exit(read_exit(handle.directory))
        if fields is not None:
            return outcome_of(fields)
        return Outcome(OutcomeKind.UNEXECUTABLE, Reason.LOST, "the session's holder died")

    async def _sweep(self, handle: Handle) -> None:
        """See to it that nothing of this session runs any more, and that its end is written down."""
        holder = handle.holder()
        try:
            if holder is None and await self._nursery.sweep(handle.session, handle.directory):
                return
        except ExecutorError as error:
            log.warning("session %s: %s; cleaning up without it", handle.session, error)
        holder = handle.holder()
        if holder is not None:  # it lives but cannot be reached: it must not go on unseen
            processes.send(holder, signal.SIGKILL)
        cleanup = Cleanup(handle.session, str(self._home.root), handle.directory)
        await asyncio.to_thread(cleanup.run)


def _remove(path: str) -> None:
    Path(path).unlink(missing_ok=True)


def _write_private(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _same_place(one: str, other: Path) -> bool:
    """Also by two names of one directory."""
    return os.path.realpath(one) == os.path.realpath(other)

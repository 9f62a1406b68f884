"""`qd _pod POD.JSON`: the program of a session whose real program runs in a pod. A child of the session's holder.

It waits until the container runs, gives it what it needs to begin, and copies both ways. A connection that is cut is
taken up again; what was printed meanwhile comes out of the log. At the end it exits as the container did, having
written down how that was. Everything of a session but its program (recording, typing, watching, hiding secrets) is
the holder's.

Small, because there is one per session: standard library, websockets and leaves of ours.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import sys

from lite.aio.tasks import Jobs
from lite.executors.kubernetes import bootstrap
from lite.executors.kubernetes.bridge_copy import Copy
from lite.executors.kubernetes.bridge_face import Face
from lite.executors.kubernetes.bridge_http import Api, Refused, Unreachable
from lite.executors.kubernetes.bridge_pod import Pod
from lite.executors.kubernetes.pod_file import (
    ENDED,
    GONE,
    LAPSED,
    LEASE,
    LOST,
    EndFile,
    PodFile,
    read_file,
    read_pod,
    write_end,
    write_file,
)
from lite.executors.leash import Leash, boot_ms

_BACKOFF_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
_INTERRUPT = b"\x03"
_OUTPUT = "output"  # where the engine looks for what a program wrote to $QD_OUTPUT
_LAPSED_SECONDS = 10.0  # beyond the grace, for a pod whose lease is over


def main(argv: list[str]) -> int:
    """The exit code: the container's, 1 when that is not known, 2 when there is nothing to do."""
    logging.basicConfig(level=logging.CRITICAL)  # stderr is the program's
    if len(argv) != 1:
        sys.stderr.write("usage: qd _pod POD.JSON\n")
        return 2
    directory = os.path.dirname(os.path.abspath(argv[0]))
    try:
        pod = read_pod(directory)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    code = asyncio.run(Bridge(directory, pod).run())
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code if code >= 0 else 128 - code


class Bridge:
    """One pod's."""

    def __init__(self, directory: str, pod: PodFile) -> None:
        self._directory = directory
        self._face = Face(directory, terminal=pod.tty)
        self._api = Api(pod)
        self._pod = Pod(self._api)
        self._copy = Copy(directory, self._api, self._face, self._holds)
        self._leash = Leash()
        self._poked = asyncio.Event()
        self._over = asyncio.Event()  # there is nothing left to wait for
        self._jobs = Jobs("bridge")
        self._message = ""
        self._kind = ENDED
        self._orphaned = False

    async def run(self) -> int:
        """As `main`; negative: the signal that ended the container's program."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        loop.add_signal_handler(signal.SIGWINCH, self._winch)
        if self._api.pod.stdin:
            loop.add_reader(0, self._readable)
        self._jobs.spawn(self._pod.follow(), "pod")
        self._jobs.spawn(self._keep_lease(), "lease")
        try:
            await self._until_running()
            await self._until_ended()
        finally:
            await self._jobs.cancel()
        return 1 if self._orphaned else await self._end()

    # the pod's life

    async def _until_running(self) -> None:
        while not (self._pod.running or self._pod.ended or self._over.is_set()):
            self._pod.changed.clear()
            if not self._copy.began.is_set():
                self._face.say(self._pod.told())
            await _either(self._pod.changed, self._over)

    async def _until_ended(self) -> None:
        failures = 0
        while not (self._pod.ended or self._over.is_set()):
            began = asyncio.get_running_loop().time()
            conversing = self._jobs.spawn(self._copy.converse(), "converse")
            over = self._jobs.spawn(self._over.wait(), "over")
            await asyncio.wait({conversing, over}, return_when=asyncio.FIRST_COMPLETED)
            over.cancel()
            if not conversing.done():
                conversing.cancel()
                await asyncio.wait({conversing})
            try:
                conversing.result()
            except (Unreachable, Refused, asyncio.CancelledError):
                pass
            if asyncio.get_running_loop().time() - began > 10:
                failures = 0
            self._pod.changed.clear()
            if self._pod.ended or self._over.is_set():
                return
            pause = _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)] * random.uniform(0.8, 1.2)
            failures += 1
            try:
                async with asyncio.timeout(pause):
                    await _either(self._pod.changed, self._over)
            except TimeoutError:
                pass

    async def _end(self) -> int:
        """Take what is left, write down how it was."""
        whole = True
        if not self._pod.gone:
            whole = await self._copy.drain()
        self._copy.finish()
        if self._pod.gone and self._kind == ENDED:
            self._kind = GONE
        if self._kind == ENDED and not self._pod.ended:
            self._kind = LOST
        if self._copy.output is not None:
            write_file(self._directory, _OUTPUT, self._copy.output)
        message = self._message or ("" if whole else "its log cannot be read: the end of its output is missing")
        if whole and self._copy.began.is_set() and not self._copy.whole:
            message = message or "its log was cut by the node: some of its output may be missing"
        write_end(self._directory, EndFile(self._kind, message, self._pod.kept(), self._copy.code))
        return self._code()

    def _code(self) -> int:
        terminated = self._pod.state.get("terminated")
        if not isinstance(terminated, dict):
            return 1
        told = bootstrap.parse_termination(str(terminated.get("message") or ""))
        if told is not None and told.signal:
            return -told.signal
        code = int(terminated.get("exitCode") or 0)
        return -int(terminated["signal"]) if not code and terminated.get("signal") else code

    # what comes from our own side

    def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(0)
        data = self._face.read()
        if not data:
            self._orphaned = True  # the holder is gone; whoever comes next takes the pod over
            self._over.set()
            return
        self._jobs.spawn(self._typed(data), "typed")

    async def _typed(self, data: bytes) -> None:
        """No more is read until this is on its way: so the holder sees that nobody reads."""
        await self._copy.typed.put(data)
        asyncio.get_running_loop().add_reader(0, self._readable)

    def _interrupt(self) -> None:
        if self._api.pod.tty and self._api.pod.stdin and self._copy.typed.empty():
            self._copy.typed.put_nowait(_INTERRUPT)

    def _winch(self) -> None:
        self._poked.set()
        self._jobs.spawn(self._resize(), "resize")

    async def _resize(self) -> None:
        try:
            await self._copy.resize()
        except Unreachable:
            pass  # it is told at the next connection

    def _stop(self) -> None:
        grace = self._api.pod.grace_ms
        self._jobs.spawn(self._delete(-(-grace // 1000)), "stop")

    async def _delete(self, grace_s: int) -> None:
        try:  # the token may have been raised for us, too, by who was started again in our home
            self._api.pod = self._api.pod.with_token(read_pod(self._directory).token)
        except (OSError, ValueError):
            pass
        if not await self._pod.delete(grace_s):
            self._kind, self._message = LOST, "another supervisor has its pod"
            self._over.set()

    # the lease

    def _holds(self) -> bool:
        """Also in the first moment after we stood still, when nobody has looked at the time yet."""
        until = read_file(self._directory, LEASE)
        return not until or boot_ms() < int(until)

    async def _keep_lease(self) -> None:
        """A lease nobody renews any more: another worker may run the task from now on, so the pod must go."""
        known = b""
        while True:
            until = read_file(self._directory, LEASE)
            if until and until != known:
                known = until
                self._leash.keep(int(until))
            if self._leash.ran_out():
                break
            self._poked.clear()
            patience = self._leash.patience(None)
            try:
                async with asyncio.timeout(patience):
                    await self._poked.wait()
            except TimeoutError:
                pass
        self._kind, self._message = LAPSED, self._leash.why
        await self._delete(1)
        try:
            async with asyncio.timeout(_LAPSED_SECONDS):
                while not self._pod.ended:
                    self._pod.changed.clear()
                    await self._pod.changed.wait()
        except TimeoutError:
            self._over.set()


async def _either(*events: asyncio.Event) -> None:
    """Until one of them is set."""
    jobs = Jobs("either")
    try:
        await asyncio.wait([jobs.spawn(event.wait()) for event in events], return_when=asyncio.FIRST_COMPLETED)
    finally:
        await jobs.cancel()

"""One pod's session, as its supervisor sees it: the bridge's session on one side, the pod on the other, one end."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from lite.aio.probe import hit
from lite.aio.tasks import Jobs
from lite.errors import ExecutorError
from lite.executors.kubernetes.client import KubernetesClient
from lite.executors.kubernetes.failures import ApiRefused, ApiUnavailable, Conflicting, PodNotFound
from lite.executors.kubernetes.fencing import delete_options, patch_of, token_of, token_patch
from lite.executors.kubernetes.handle import Handle
from lite.executors.kubernetes.outcomes import reported
from lite.executors.kubernetes.pod_file import (
    ENDED,
    GO,
    GONE,
    INNER,
    LAPSED,
    EndFile,
    PodFile,
    read_end,
    read_file,
    remove_file,
    write_file,
)
from lite.executors.kubernetes.reconciler import RECORDED, Follow, Reconciler
from lite.model.session import SessionRequest, Status
from lite.model.task import Outcome, OutcomeKind, Reason
from lite.ports import Clock, Executor
from providers.base import Launch

log = logging.getLogger(__name__)

_EXIT = "exit.json"  # how the bridge's session ended
_DRAIN_SECONDS = 45.0  # for a bridge to take the rest of an ended pod's output
_REPEAT_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)  # of what has to succeed some time
_NEW_BRIDGES = 8
_PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "QD_EXECUTABLE", "QD_CACHE_DIR")


@dataclass(frozen=True, slots=True)
class Place:
    """What all sessions share. `command` starts this very program."""

    inner: Executor
    client: KubernetesClient
    reconciler: Reconciler
    clock: Clock
    command: Sequence[str]


class PodSession:
    """`outcome` is set once; `run` is what sets it."""

    def __init__(
        self, place: Place, parts: Handle, pod: PodFile, follow: Follow, *, secrets: tuple[str, ...] | None
    ) -> None:
        self.parts, self.pod = parts, pod
        self.inner = inner_handle(parts)
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.stopping = False
        self.callbacks: list[Callable[[Status], None]] = []
        self.kept_until: int | None = None  # see `leash.boot_ms`
        self.moved = asyncio.Event()  # to a session of another bridge; a new one each time
        self._place, self._follow = place, follow
        self.secrets = secrets  # None: a supervisor before us had them
        self._jobs = Jobs(f"pod {parts.pod}")

    def __repr__(self) -> str:
        return f"<PodSession {self.parts.pod}{' ended' if self.outcome.done() else ''}>"

    @property
    def token(self) -> int:
        return self.pod.token

    async def wait(self) -> Outcome:
        return await asyncio.shield(self.outcome)

    def begin(self) -> None:
        """Watch over it from now on."""
        self._jobs.spawn(self._run(), "session")

    async def close(self) -> None:
        await self._jobs.cancel()

    def stop(self, grace_ms: int) -> None:
        """Ask for its end."""
        self.stopping = True
        self._place.reconciler.stopping(self.parts.pod)
        self._jobs.spawn(self.remove(-(-grace_ms // 1000)), "stop")

    def raise_token(self) -> None:
        """Tell the pod who has it now."""
        self._jobs.spawn(self._raise_token(), "token")

    def mark_recorded(self) -> Any:
        """Tell whoever collects finished pods that this one's outcome is in the store."""
        return self._mark_recorded()

    async def remove(self, grace_s: int) -> bool:
        """Delete the pod, for as long as it takes to be heard. False: somebody with a greater token has it."""
        client, parts = self._place.client, self.parts
        tries = 0
        while True:
            try:
                pod = await client.get_pod(parts.namespace, parts.pod)
                if token_of(pod) > self.token:
                    return False
                await client.delete_pod(parts.namespace, parts.pod, delete_options(pod, grace_s))
                hit("kubernetes.deleted", pod=parts.pod)
                return True
            except PodNotFound:
                self._place.reconciler.absent(parts.pod)
                return True
            except Conflicting:
                continue
            except ApiUnavailable as error:
                log.info("pod %s not deleted yet: %s", parts.pod, error)
            except ApiRefused as error:
                log.warning("pod %s cannot be deleted: %s", parts.pod, error)
            await self._place.clock.sleep(_REPEAT_SECONDS[min(tries, len(_REPEAT_SECONDS) - 1)])
            tries += 1

    # its life

    async def _run(self) -> None:
        try:
            outcome = await self._until_over()
        except (ExecutorError, OSError) as error:
            log.exception("pod %s", self.parts.pod)
            outcome = Outcome(OutcomeKind.UNEXECUTABLE, Reason.INFRASTRUCTURE, str(error))
        self._place.reconciler.forget(self.parts.pod)
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    async def _until_over(self) -> Outcome:
        died = 0
        while True:
            ended = await self._inner_ended()
            if ended is None:
                return await self._decided()
            end = read_end(self.parts.directory)
            if end is not None:
                return await self._bridge_ended(end)
            if ended.kind is OutcomeKind.RESCHEDULED or _lapsed(ended):  # never let go; or it could not end by itself
                await self.remove(1)
                await self._pod_over()
                return ended
            if self._follow.decided.done() and self._follow.decided.result().outcome is not None and died:
                return await self._decided()
            died += 1
            hit("kubernetes.bridge-died", pod=self.parts.pod, times=died)
            log.warning("pod %s: its bridge ended (%s); another takes over", self.parts.pod, ended.detail or ended.kind)
            why = "its bridge ends again and again" if died > _NEW_BRIDGES else await self.new_bridge()
            if why:
                log.warning("pod %s is given up: %s", self.parts.pod, why)
                await self.remove(1)
                await self._pod_over()
                return Outcome(OutcomeKind.UNEXECUTABLE, Reason.LOST, why)
            if died > 1:
                await self._place.clock.sleep(random.uniform(0.5, 1.5))

    async def _inner_ended(self) -> Outcome | None:
        """How the bridge's session ended; None: the pod's end was known first."""
        jobs = Jobs("either")
        waiting = jobs.spawn(self._place.inner.wait(self.inner), "inner")
        decided = jobs.spawn(_shielded(self._follow.decided), "decided")
        try:
            await asyncio.wait({waiting, decided}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                return None
            return waiting.result()  # type: ignore[no-any-return]
        except ExecutorError as error:
            return Outcome(OutcomeKind.UNEXECUTABLE, Reason.LOST, str(error))
        finally:
            await jobs.cancel()

    async def _bridge_ended(self, end: EndFile) -> Outcome:
        if end.kind == LAPSED:
            if await self.remove(1):
                await self._pod_over()
            return Outcome(OutcomeKind.UNEXECUTABLE, Reason.LOST, end.message)
        if end.kind == ENDED and end.pod is not None:
            self._place.reconciler.saw(end.pod)
        elif end.kind == GONE:
            self._place.reconciler.look_again(self.parts.pod)
        else:
            return Outcome(OutcomeKind.UNEXECUTABLE, Reason.LOST, end.message)
        return await self._decided()

    async def _decided(self) -> Outcome:
        """The pod's end is known, or soon; the bridge takes what is left of its output."""
        judged = await _shielded(self._follow.decided)
        inner = self._place.inner
        if not judged.ended:
            await self.remove(1)
            with suppress(ExecutorError):
                await inner.stop(self.inner, grace_ms=0)
        with suppress(ExecutorError, TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                await inner.wait(self.inner)
        with suppress(ExecutorError):
            await inner.stop(self.inner, grace_ms=0)
            await inner.wait(self.inner)
        end = read_end(self.parts.directory)
        if end is not None and end.kind == LAPSED:  # the pod ended because the bridge ended it
            return Outcome(OutcomeKind.UNEXECUTABLE, Reason.LOST, end.message)
        if end is not None and end.message:
            log.warning("pod %s: %s", self.parts.pod, end.message)
        return reported(judged.outcome, end.code if end is not None else None)

    async def _pod_over(self) -> None:
        """Until its container has ended, or nobody will ever know."""
        await _shielded(self._follow.decided)

    # another bridge

    async def new_bridge(self) -> str:
        """Start one in a session of its own, which goes on with the same recording. Why not, or ""."""
        if self.pod.hidden and self.secrets is None:
            return "its bridge died, and what has to be hidden in its output is not known to this supervisor"
        directory = self.parts.directory
        with suppress(ExecutorError):
            await self._place.inner.destroy(self.inner)

        async def record(handle: str) -> None:
            remove_file(directory, _EXIT)  # not before the next holder is there: without one, its absence means a death
            write_file(directory, INNER, handle.encode())

        request = bridge_request(self._place.command, self.parts.session, self.pod, directory, self.secrets or ())
        try:
            self.inner = await self._place.inner.start(request, record)
        except (ExecutorError, OSError) as error:
            return f"no other bridge could be started: {error}"
        for callback in self.callbacks:
            self._place.inner.watch_status(self.inner, callback)
        moved, self.moved = self.moved, asyncio.Event()
        moved.set()
        return ""

    # the pod's annotations

    async def _raise_token(self) -> None:
        tries = 0
        while not self.outcome.done():
            try:
                pod = await self._place.client.get_pod(self.parts.namespace, self.parts.pod)
                if token_of(pod) >= self.token:
                    return
                await self._place.client.patch_pod(self.parts.namespace, self.parts.pod, token_patch(pod, self.token))
                return
            except PodNotFound:
                return
            except Conflicting:
                continue
            except ExecutorError as error:
                log.info("pod %s: its token is not raised yet: %s", self.parts.pod, error)
            await self._place.clock.sleep(_REPEAT_SECONDS[min(tries, len(_REPEAT_SECONDS) - 1)])
            tries += 1

    async def _mark_recorded(self) -> None:
        """Once: a pod without the mark stays longer, that is all."""
        client, parts = self._place.client, self.parts
        while True:
            try:
                pod = await client.get_pod(parts.namespace, parts.pod)
                if token_of(pod) <= self.token:
                    await client.patch_pod(parts.namespace, parts.pod, patch_of(pod, {RECORDED: "true"}))
                return
            except Conflicting:
                continue
            except ExecutorError as error:
                log.info("pod %s is not marked as recorded: %s", parts.pod, error)
                return


def inner_handle(parts: Handle) -> str:
    """Of the session the bridge runs in now; "": there is none yet, its first one was in another home."""
    later = read_file(parts.directory, INNER)
    return parts.inner if later is None else later.decode()


def bridge_request(
    command: Sequence[str], session: str, pod: PodFile, directory: str, secrets: tuple[str, ...]
) -> SessionRequest:
    """The session whose program is the bridge. Its environment is ours, as far as it needs it, and nothing of the
    task's."""
    task, _, attempt = session.rpartition("-")
    launch = Launch(
        argv=(*command, "_pod", f"{directory}/pod.json"),
        stdio="terminal" if pod.tty else "pipes",
        stdin="terminal" if pod.stdin else "null",
    )
    env = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
    return SessionRequest(
        task=task,
        attempt=int(attempt),
        token=pod.token,
        launch=launch,
        cwd=directory,
        env={"TERM": "xterm-256color", "QD_RAW": "1", **env},
        directory=directory,
        cols=pod.cols,
        rows=pod.rows,
        cap_bytes=pod.cap_bytes,
        record=pod.record,
        secrets=secrets,
    )


def forget_payload(directory: str) -> None:
    """What was to be sent to the pod; there may be secrets in it."""
    remove_file(directory, GO)


def _lapsed(ended: Outcome) -> bool:
    return ended.reason == Reason.LOST and ended.detail.startswith("its lease")


async def _shielded(future: asyncio.Future[Any]) -> Any:
    return await asyncio.shield(future)

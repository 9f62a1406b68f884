"""The Kubernetes executor: a pod per attempt, behind a session of an executor with terminals. Implements
`lite.ports.Executor`."""

from __future__ import annotations

import logging
import os
import secrets
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from lite.aio.probe import hit
from lite.aio.tasks import Jobs
from lite.clock import SystemClock
from lite.errors import ExecutorError, HandleGone, SessionRefused
from lite.executors.kubernetes import bootstrap, manifests, names
from lite.executors.kubernetes.adoption import adopt, kept_of
from lite.executors.kubernetes.client import KubernetesClient
from lite.executors.kubernetes.failures import ApiRefused, ApiUnavailable, Conflicting, PodNotFound, PodRefused
from lite.executors.kubernetes.fencing import delete_options, token_of
from lite.executors.kubernetes.handle import Handle, parse_handle
from lite.executors.kubernetes.outcomes import refused
from lite.executors.kubernetes.pod_file import (
    END,
    GO,
    INNER,
    LEASE,
    LOST,
    STDIN,
    PodFile,
    read_end,
    read_pod,
    remove_file,
    write_file,
    write_pod,
)
from lite.executors.kubernetes.reconciler import Reconciler
from lite.executors.kubernetes.session import Place, PodSession, bridge_request, inner_handle
from lite.executors.kubernetes.streams import PodStream
from lite.executors.kubernetes.watching import Watching
from lite.executors.leash import boot_ms
from lite.home import Home
from lite.model.kubernetes import Kubernetes
from lite.model.session import ExecutorCapabilities, Inspection, SessionRequest, Status
from lite.model.task import Outcome
from lite.ports import Clock, Executor, RecordHandle, TerminalStream
from lite.restart import self_command

log = logging.getLogger(__name__)

Json = dict[str, Any]

START = "quarterdeck.dev/start"  # annotation: which start of an attempt made the pod
_STAGING = "QD_STAGING"  # the engine says by it that the run has a volume
_HOLDER_LATER_MS = 60_000  # the bridge ends the pod when its lease is over; its holder only should it not manage
_OTHERS_SECONDS = 30.0  # for the pod of an earlier attempt to end
_CONNECT_AGAIN_SECONDS = (2.0, 5.0, 15.0, 30.0)

Configured = Callable[[str], Kubernetes]  # of an agent ("": of the fleet)


class KubernetesExecutor:
    """`inner` has the sessions; it is opened and closed by whoever owns it. `fleet` tells our pods from others' in the
    same namespace."""

    name = "kubernetes"

    def __init__(
        self,
        inner: Executor,
        home: Home,
        configured: Configured,
        fleet: str,
        *,
        clock: Clock | None = None,
    ) -> None:
        kube = configured("")
        self._inner, self._home, self._configured, self._fleet = inner, home, configured, fleet
        self._clock: Clock = clock or SystemClock()
        self._namespace = kube.namespace
        self._client = KubernetesClient(home.root / "kubernetes", kubeconfig=kube.kubeconfig, context=kube.context)
        self._reconciler = Reconciler(self._clock.now, self._wake)
        self._reconciler.ttl_ms = kube.finished_ttl_ms
        selector = f"{names.FLEET}={names.label_value(fleet)}"
        self._watching = Watching(self._client, kube.namespace, selector, self._reconciler, self._clock)
        self._place = Place(inner, self._client, self._reconciler, self._clock, tuple(self_command()))
        self._sessions: dict[str, PodSession] = {}
        self._jobs = Jobs("kubernetes executor")
        self._problem = "not opened yet"

    def __repr__(self) -> str:
        return f"<KubernetesExecutor {self._namespace} {self._fleet}, {len(self._sessions)} sessions>"

    @property
    def client(self) -> KubernetesClient:
        """For what else of the cluster has to be looked after."""
        return self._client

    def capabilities(self) -> ExecutorCapabilities:
        """No signals: a terminal can carry three of them, and pipes none."""
        return ExecutorCapabilities(
            terminal=True, recover=True, adopt=True, problem=self._problem or self._watching.problem
        )

    async def open(self) -> None:
        """Never raises for a cluster that cannot be reached: `capabilities` says so, and it is tried again."""
        self._problem = await self._connect()
        self._jobs.spawn(self._stay_connected(), "connection")

    async def close(self) -> None:
        await self._jobs.cancel()
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()
        await self._client.close()

    async def start(self, request: SessionRequest, record: RecordHandle) -> str:
        kube = self._configured(request.origin.agent)
        if self._problem:
            raise ApiUnavailable(self._problem)
        mark, run = bootstrap.new_mark(), request.origin.run
        shared = kube.staging is not None and request.env.get(_STAGING) == kube.staging.mount
        claim = names.claim_name(self._fleet, run) if shared else ""
        pod = manifests.pod(request, kube, fleet=self._fleet, claim=claim)
        metadata = pod["metadata"]
        metadata.setdefault("annotations", {}).update({names.TOKEN: str(request.token), START: secrets.token_hex(8)})
        file = self._pod_file(request, kube, metadata["name"], mark)
        metadata["annotations"][names.KEPT] = kept_of(file)
        self._prepare(request, kube, file, mark)
        if request.attempt > 1:
            await self._end_earlier(request)
        started = ""

        async def recorded(inner: str) -> None:
            nonlocal started
            parts = Handle(request.session, self._namespace, file.pod, mark, request.directory, inner)
            started = str(parts)
            follow = self._reconciler.follow(file.pod, file.container, kube.start_timeout_ms, asked=False)
            session = PodSession(self._place, parts, file, follow, secrets=request.secrets)
            self._sessions[started] = session
            try:
                await record(started)
                hit("kubernetes.recorded", pod=file.pod)
                self._reconciler.saw(await self._create(pod, file))
                hit("kubernetes.created", pod=file.pod)
            except BaseException as error:
                self._give_up(started, session, created=not isinstance(error, ApiRefused))
                raise

        inner_request = bridge_request(self._place.command, request.session, file, request.directory, request.secrets)
        try:
            await self._inner.start(inner_request, recorded)
        except BaseException:
            _remove_payload(request.directory)
            raise
        self._sessions[started].begin()
        return started

    async def recover(self, handle: str, token: int) -> None:
        known = self._sessions.get(handle)
        if known is not None and not known.outcome.done() and token <= known.token:
            return
        parts = self._parts(handle)
        file = _own_file(parts)
        if file is None:
            file = await self._adopt(parts, token)
        elif token < file.token:
            raise HandleGone(f"another supervisor has session {parts.session}")
        else:
            file = self._regain(parts, file, token)
            with suppress(HandleGone):  # its bridge, or its holder, may have died; the pod is what counts
                await self._inner.recover(inner_handle(parts), token)
        if known is not None:
            await known.close()
        start_timeout = self._configured("").start_timeout_ms
        follow = self._reconciler.follow(parts.pod, file.container, start_timeout, asked=True)
        session = PodSession(self._place, parts, file, follow, secrets=known.secrets if known is not None else None)
        self._sessions[handle] = session
        if not session.inner and (why := await session.new_bridge()):
            log.warning("pod %s: %s", parts.pod, why)
        session.raise_token()
        session.begin()

    async def wait(self, handle: str) -> Outcome:
        return await self._session(handle).wait()

    async def inspect(self, handle: str) -> Inspection:
        session = self._session(handle)
        seen = await self._inner.inspect(session.inner)
        alive = not session.outcome.done()
        return Inspection(
            alive, seen.pid, seen.started_at, seen.last_output_at, seen.offset, seen.status, seen.cols, seen.rows
        )

    async def signal(self, handle: str, signum: int) -> None:
        self._session(handle)
        raise SessionRefused("a program in a pod gets no signals; what its terminal can say may be typed")

    async def stop(self, handle: str, *, grace_ms: int) -> None:
        session = self._session(handle)
        if not session.outcome.done():
            session.stop(max(grace_ms, 0))

    async def destroy(self, handle: str) -> None:
        parts = self._parts(handle)
        session = self._sessions.get(handle)
        if session is not None and not session.outcome.done():
            raise ExecutorError(f"session {parts.session} still runs")
        with suppress(HandleGone):
            await self._inner.destroy(inner_handle(parts))
        if session is not None:
            del self._sessions[handle]
            await session.close()
            self._jobs.spawn(session.mark_recorded(), "recorded")
        _remove_payload(parts.directory)

    async def attach(self, handle: str, *, control: bool, offset: int | None = None) -> TerminalStream:
        session = self._sessions.get(handle)
        if session is None:
            return await self._inner.attach(inner_handle(self._parts(handle)), control=control, offset=offset)

        async def again(inner: str, at: int) -> TerminalStream:
            return await self._inner.attach(inner, control=control, offset=at)

        return PodStream(session, await self._inner.attach(session.inner, control=control, offset=offset), again)

    async def keep(self, handle: str, ttl_ms: int) -> None:
        session = self._session(handle)
        if session.outcome.done():
            return
        until = boot_ms() + max(ttl_ms, 0)
        write_file(session.parts.directory, LEASE, b"%d" % until)
        sooner = session.kept_until is None or until < session.kept_until
        session.kept_until = until
        with suppress(HandleGone):
            await self._inner.keep(session.inner, max(ttl_ms, 0) + _HOLDER_LATER_MS)
        if sooner:  # else it looks by itself when the time it knows is over
            with suppress(ExecutorError):
                await self._inner.signal(session.inner, signal.SIGWINCH)

    def watch_status(self, handle: str, callback: Callable[[Status], None]) -> None:
        session = self._session(handle)
        session.callbacks.append(callback)
        self._inner.watch_status(session.inner, callback)

    def address(self, handle: str) -> str:
        session = self._sessions.get(handle)
        return self._inner.address(session.inner if session is not None else inner_handle(self._parts(handle)))

    # taking over

    def _parts(self, handle: str) -> Handle:
        """Of a session of another home, too: what we have of it is in a folder of ours. Raises `HandleGone`."""
        parts = parse_handle(handle)
        home = self._home.session(parts.session)
        return parts if _same_place(parts.directory, home) else replace(parts, directory=str(home))

    async def _adopt(self, parts: Handle, token: int) -> PodFile:
        """Nothing of it is here: its folder, with no bridge yet. Raises as `adopt`, and `ExecutorError`."""
        if parts.namespace != self._namespace:
            raise HandleGone(f"pod {parts.pod} is in another namespace, {parts.namespace}")
        if self._problem:
            raise ApiUnavailable(self._problem)
        file = await adopt(self._client, self._clock, parts, token)
        _settle(parts.directory, file)
        hit("kubernetes.adopted", pod=parts.pod)
        return file

    def _regain(self, parts: Handle, file: PodFile, token: int) -> PodFile:
        """Its folder is here; another worker may have had it meanwhile."""
        end = read_end(parts.directory)
        if token > file.token and end is not None and end.kind == LOST:
            remove_file(parts.directory, END)
        file = file.with_token(token)
        write_pod(parts.directory, file)
        return file

    # the connection

    async def _connect(self) -> str:
        """Why it does not work, or ""."""
        try:
            await self._client.open()
            await self._client.version()
        except ExecutorError as error:
            log.warning("kubernetes: %s", error)
            return f"kubernetes: {error}"
        self._jobs.spawn(self._watching.follow(), "watch")
        self._jobs.spawn(self._watching.look(), "look")
        return ""

    async def _stay_connected(self) -> None:
        tries = 0
        while self._problem:
            await self._clock.sleep(_CONNECT_AGAIN_SECONDS[min(tries, len(_CONNECT_AGAIN_SECONDS) - 1)])
            tries += 1
            await self._client.close()
            self._problem = await self._connect()

    def _wake(self) -> None:
        self._watching.wake()

    # starting

    def _pod_file(self, request: SessionRequest, kube: Kubernetes, pod: str, mark: str) -> PodFile:
        way = self._client.way
        return PodFile(
            server=way.server,
            ca=way.ca,
            verify=way.verify,
            server_name=way.server_name,
            token_file=way.token_file,
            cert=way.cert,
            key=way.key,
            proxy=way.proxy,
            namespace=self._namespace,
            pod=pod,
            container=manifests.CONTAINER,
            mark=mark,
            token=request.token,
            tty=request.launch.stdio == "terminal",
            stdin=request.launch.stdin == "terminal",
            grace_ms=kube.grace_ms,
            cols=request.cols,
            rows=request.rows,
            cap_bytes=request.cap_bytes,
            record=request.record,
            hidden=bool(request.secrets),
        )

    def _prepare(self, request: SessionRequest, kube: Kubernetes, file: PodFile, mark: str) -> None:
        """The session's folder, and in it what the bridge will want. Raises `ExecutorError`."""
        directory = Path(request.directory)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            payload = manifests.go(request, kube, mark=mark, brought=_brought(directory))
            write_file(request.directory, GO, payload)
            if request.launch.stdin_data and request.launch.stdin == "terminal":
                write_file(request.directory, STDIN, request.launch.stdin_data)
            write_pod(request.directory, file)
        except OSError as error:
            raise ExecutorError(f"{error.filename or directory}: {error.strerror}") from error

    async def _create(self, pod: Json, file: PodFile) -> Json:
        """The pod as the API has it: ours, also when the answer to its creation was lost. Raises `PodRefused`."""
        for again in (True, True, False):
            try:
                return await self._client.create_pod(pod)
            except Conflicting:
                found = await self._client.get_pod(file.namespace, file.pod)
                if _annotation(found, START) == _annotation(pod, START):
                    return found
                if token_of(found) >= file.token or not again:
                    raise PodRefused(
                        f"a pod named {file.pod} is there already, and it is not of this attempt", reason="pod-exists"
                    ) from None
                await self._end_pod(found)
            except ApiRefused as error:
                reason, words = refused(error.answer, error.message)
                raise PodRefused(words, reason=reason, hint=error.hint) from error
        raise AssertionError("unreachable")

    async def _end_earlier(self, request: SessionRequest) -> None:
        """Pods of the same task's earlier attempts: whoever had them is gone, and only one attempt may run."""
        labels = {names.FLEET: self._fleet, names.TASK: request.task}
        selector = ",".join(f"{key}={names.label_value(value)}" for key, value in labels.items())
        found, _ = await self._client.list_pods(self._namespace, selector)
        for pod in found:
            attempt = (pod["metadata"].get("labels") or {}).get(names.ATTEMPT, "")
            running = (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
            if attempt.isdigit() and int(attempt) < request.attempt and running and token_of(pod) < request.token:
                log.warning("pod %s of an earlier attempt is still there; ended first", pod["metadata"]["name"])
                await self._end_pod(pod)

    async def _end_pod(self, pod: Json) -> None:
        """Delete exactly this pod, and see it gone."""
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        deadline = self._clock.monotonic() + _OTHERS_SECONDS
        with suppress(PodNotFound, Conflicting):
            await self._client.delete_pod(self._namespace, name, delete_options(pod, 1))
        while self._clock.monotonic() < deadline:
            try:
                seen = await self._client.get_pod(self._namespace, name)
            except PodNotFound:
                return
            if seen["metadata"]["uid"] != uid or (seen.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
                return
            await self._clock.sleep(0.25)
        log.warning("pod %s does not end; its node may be lost", name)

    def _give_up(self, handle: str, session: PodSession, *, created: bool) -> None:
        """It could not be started. Should the pod be there all the same, it goes."""
        self._sessions.pop(handle, None)
        self._reconciler.forget(session.parts.pod)
        if created:
            self._jobs.spawn(session.remove(1), "given up")

    def _session(self, handle: str) -> PodSession:
        session = self._sessions.get(handle)
        if session is None:
            raise HandleGone("this session was neither started nor recovered here")
        return session


def _brought(directory: Path) -> Mapping[str, bytes]:
    """What the engine put into the session's folder for the program: the outputs of its needs."""
    needs = directory / "needs"
    found = sorted(needs.iterdir()) if needs.is_dir() else []
    return {f"needs/{path.name}": path.read_bytes() for path in found if path.is_file()}


def _annotation(pod: Json, name: str) -> str:
    return str((pod["metadata"].get("annotations") or {}).get(name) or "")


def _remove_payload(directory: str) -> None:
    for name in (GO, STDIN):
        remove_file(directory, name)


def _settle(directory: str, file: PodFile) -> None:
    """A folder for a session another worker has begun. Raises `ExecutorError`."""
    try:
        Path(directory).mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(directory, INNER, b"")  # first: the bridge its handle tells of is not ours
        write_pod(directory, file)
    except OSError as error:
        raise ExecutorError(f"{error.filename or directory}: {error.strerror}") from error


def _own_file(parts: Handle) -> PodFile | None:
    """None where there is none. Raises `HandleGone` for what is not of this session."""
    try:
        file = read_pod(parts.directory)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise HandleGone(f"session {parts.session} is not known any more: {error}") from error
    if (file.namespace, file.pod, file.mark) != (parts.namespace, parts.pod, parts.mark):
        raise HandleGone(f"another session {parts.session} was here meanwhile")
    return file


def _same_place(one: str, other: Path) -> bool:
    """Also by two names of one directory."""
    return os.path.realpath(one) == os.path.realpath(other)

"""Whoever changes or deletes a pod has read whose it is just before, and means that very object: the supervisor's side
and the bridge's."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import pytest

from lite.executors.kubernetes import bridge_pod, names, session
from lite.executors.kubernetes.bridge_http import Refused, Unreachable
from lite.executors.kubernetes.bridge_pod import Pod
from lite.executors.kubernetes.failures import ApiRefused, ApiUnavailable, Conflicting, PodNotFound
from lite.executors.kubernetes.handle import Handle
from lite.executors.kubernetes.reconciler import RECORDED
from lite.executors.kubernetes.session import Place, PodSession

Json = dict[str, Any]

OURS = 5
AWAY, NO = ApiUnavailable("no answer"), ApiRefused("no", answer=403)


class Server:
    """One pod, which others change between two requests."""

    def __init__(self, token: int = OURS) -> None:
        self.pod: Json | None = {}
        self.version = 0
        self.failures: list[Exception] = []
        self.between: list[Callable[[], None]] = []  # done after each reading
        self.asked: list[str] = []
        self.deletions: list[Json] = []
        self.patches: list[Json] = []
        self.become("u1", token)

    def become(self, uid: str, token: int, **metadata: Any) -> None:
        self.version += 1
        annotations = {names.TOKEN: str(token)}
        version = str(self.version)
        self.pod = {
            "metadata": {"name": "p", "uid": uid, "resourceVersion": version, "annotations": annotations, **metadata}
        }

    def vanish(self) -> None:
        self.pod = None

    def read(self) -> Json:
        self._ask("get")
        found = deepcopy(self.pod)
        if self.between:
            self.between.pop(0)()
        return found or {}

    def delete(self, options: Json) -> None:
        self._ask("delete")
        assert self.pod is not None
        self.deletions.append(options)
        if options["preconditions"] != {"uid": self.pod["metadata"]["uid"], "resourceVersion": str(self.version)}:
            raise Conflicting("changed", answer=409)
        self.vanish()

    def patch(self, patch: Json) -> None:
        self._ask("patch")
        assert self.pod is not None
        self.patches.append(patch)
        if patch["metadata"]["resourceVersion"] != str(self.version):
            raise Conflicting("changed", answer=409)
        self.become("u1", int(patch["metadata"]["annotations"].get(names.TOKEN, OURS)))

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.failures:
            raise self.failures.pop(0)
        if self.pod is None:
            raise PodNotFound("none", answer=404)


class Client:
    """As the supervisor asks."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def get_pod(self, _namespace: str, _name: str) -> Json:
        return self._server.read()

    async def delete_pod(self, _namespace: str, _name: str, options: Json) -> Json:
        self._server.delete(options)
        return {}

    async def patch_pod(self, _namespace: str, _name: str, patch: Json) -> Json:
        self._server.patch(patch)
        return {}


class BridgeApi:
    """As a bridge asks."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.pod = SimpleNamespace(token=OURS, container="agent")

    def path(self) -> str:
        return "p"

    async def call(self, method: str, _path: str, body: Json | None = None) -> Json:
        try:
            if method == "GET":
                return self._server.read()
            assert body is not None
            self._server.delete(body)
            return {}
        except ApiRefused as error:
            raise Refused(error.answer, b"") from error
        except ApiUnavailable as error:
            raise Unreachable("no answer") from error


class World:
    """The supervisor's side."""

    def __init__(self, server: Server, tmp_path: Any) -> None:
        self.absent: list[str] = []
        self.slept: list[float] = []
        clock = SimpleNamespace(sleep=self._sleep)
        reconciler = SimpleNamespace(absent=self.absent.append)
        place = Place(None, Client(server), reconciler, clock, ())  # type: ignore[arg-type]
        parts = Handle("t-1", "ns", "p", "mark", str(tmp_path), "inner")
        pod: Any = SimpleNamespace(token=OURS)
        self.session = PodSession(place, parts, pod, None, secrets=())  # type: ignore[arg-type]

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        assert len(self.slept) < 50


Remove = Callable[[Server, int], Any]


@pytest.fixture(params=["supervisor", "bridge"])
def remove(request: pytest.FixtureRequest, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Remove:
    """Delete the pod as one of the two does; whether it is ours to delete."""
    monkeypatch.setattr(bridge_pod, "_BACKOFF_SECONDS", (0.001,))
    monkeypatch.setattr(bridge_pod.asyncio, "sleep", _at_once(bridge_pod.asyncio.sleep))
    if request.param == "supervisor":
        return lambda server, grace: World(server, tmp_path).session.remove(grace)
    return lambda server, grace: Pod(BridgeApi(server)).delete(grace)  # type: ignore[arg-type]


def _at_once(sleep: Any) -> Any:
    async def shortly(_seconds: float) -> None:
        await sleep(0)

    return shortly


@pytest.mark.parametrize("token", [0, OURS - 1, OURS])
async def test_what_is_ours_is_deleted_as_it_was_read(remove: Remove, token: int) -> None:
    server = Server(token)
    assert await remove(server, 7)
    (options,) = server.deletions
    assert options["preconditions"] == {"uid": "u1", "resourceVersion": "1"}
    assert options["gracePeriodSeconds"] == 7


async def test_what_somebody_with_a_greater_token_has_is_left_alone(remove: Remove) -> None:
    server = Server(OURS + 1)
    assert not await remove(server, 7)
    assert server.asked == ["get"]


async def test_what_changed_hands_after_it_was_read_is_left_alone(remove: Remove) -> None:
    server = Server()
    server.between = [lambda: server.become("u1", OURS + 1)]
    assert not await remove(server, 7)
    assert server.asked == ["get", "delete", "get"]
    assert server.pod is not None


async def test_what_changed_otherwise_is_read_again(remove: Remove) -> None:
    server = Server()
    server.between = [lambda: server.become("u1", OURS)] * 3
    assert await remove(server, 7)
    assert server.asked == ["get", "delete"] * 4
    assert server.pod is None


async def test_what_is_gone_needs_no_deletion(remove: Remove) -> None:
    server = Server()
    server.vanish()
    assert await remove(server, 7)
    assert server.asked == ["get"]
    server = Server()
    server.between = [server.vanish]
    assert await remove(server, 7)


@pytest.mark.parametrize("error", [AWAY, NO])
@pytest.mark.parametrize("at", [0, 1])
async def test_a_deletion_is_asked_for_until_it_is_heard(remove: Remove, error: Exception, at: int) -> None:
    server = Server()
    if at:
        server.between = [lambda: server.failures.extend([error] * 12)]
    else:
        server.failures = [error] * 12
    assert await remove(server, 7)
    assert server.pod is None
    assert len(server.asked) == 14 + at


async def test_a_supervisor_says_that_it_found_none(tmp_path: Any) -> None:
    server = Server()
    world = World(server, tmp_path)
    assert await world.session.remove(1)
    assert world.absent == []
    assert await world.session.remove(1)
    assert world.absent == ["p"]
    server.become("u1", OURS)
    server.failures = [AWAY] * 8
    assert await world.session.remove(1)
    assert world.slept == [*session._REPEAT_SECONDS, *[session._REPEAT_SECONDS[-1]] * 3]


async def test_a_bridge_asks_once_for_what_ends_already() -> None:
    server = Server()
    server.become("u1", OURS, deletionTimestamp="2026-11-21T10:00:00Z")
    assert await Pod(BridgeApi(server)).delete(7)  # type: ignore[arg-type]
    assert server.asked == ["get"]


# the token


@pytest.mark.parametrize(("there", "patched"), [(0, True), (OURS - 1, True), (OURS, False), (OURS + 1, False)])
async def test_a_token_is_raised_and_never_lowered(tmp_path: Any, there: int, patched: bool) -> None:
    server = Server(there)
    await World(server, tmp_path).session._raise_token()
    assert server.asked == ["get", "patch"] if patched else ["get"]
    assert server.patches == (
        [{"metadata": {"resourceVersion": "1", "annotations": {names.TOKEN: str(OURS)}}}] if patched else []
    )


async def test_a_token_that_was_raised_meanwhile_stays(tmp_path: Any) -> None:
    server = Server(1)
    server.between = [lambda: server.become("u1", OURS + 1)]
    await World(server, tmp_path).session._raise_token()
    assert server.asked == ["get", "patch", "get"]
    assert server.pod is not None
    assert server.pod["metadata"]["annotations"][names.TOKEN] == str(OURS + 1)


async def test_a_token_is_raised_as_soon_as_somebody_listens(tmp_path: Any) -> None:
    server = Server(1)
    server.failures = [AWAY, NO, AWAY]
    world = World(server, tmp_path)
    await world.session._raise_token()
    assert len(server.patches) == 1
    assert world.slept == list(session._REPEAT_SECONDS[:3])
    server.vanish()
    await world.session._raise_token()  # nothing to raise
    assert len(server.patches) == 1


# that its outcome is in the store

MARK = {"metadata": {"resourceVersion": "1", "annotations": {RECORDED: "true"}}}


@pytest.mark.parametrize(("there", "marked"), [(OURS - 1, True), (OURS, True), (OURS + 1, False)])
async def test_a_pod_is_marked_as_recorded_by_who_has_it(tmp_path: Any, there: int, marked: bool) -> None:
    server = Server(there)
    await World(server, tmp_path).session.mark_recorded()
    assert server.patches == ([MARK] if marked else [])


async def test_what_changed_hands_or_is_gone_or_cannot_be_asked_for_is_not_marked(tmp_path: Any) -> None:
    server = Server()
    server.between = [lambda: server.become("u1", OURS), lambda: server.become("u1", OURS + 1)]
    await World(server, tmp_path).session.mark_recorded()
    assert server.asked == ["get", "patch", "get", "patch", "get"]
    assert server.version == 3
    for error in (AWAY, NO):
        server.failures = [error]
        await World(server, tmp_path).session.mark_recorded()
    server.vanish()
    await World(server, tmp_path).session.mark_recorded()
    assert len(server.patches) == 2


# what a bridge takes for gone


async def test_a_bridge_takes_another_pod_of_its_name_for_the_end_of_its_own() -> None:
    pod = Pod(BridgeApi(Server()))  # type: ignore[arg-type]
    await pod._look()
    assert not pod.gone
    assert pod._event(b'{"type":"MODIFIED","object":{"metadata":{"uid":"u1"}}}')
    assert not pod._event(b'{"type":"ADDED","object":{"metadata":{"uid":"u2"}}}')
    assert pod.gone
    assert pod.seen is not None
    assert pod.seen["metadata"]["uid"] == "u1"


async def test_a_bridge_looks_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge_pod, "_GONE_SECONDS", 0)
    none = PodNotFound("none", answer=404)
    server = Server()
    pod = Pod(BridgeApi(server))  # type: ignore[arg-type]
    server.failures = [none]
    await pod._look()
    assert not pod.gone
    for error in (AWAY, NO):
        server.failures = [none, error]
        with pytest.raises((Unreachable, Refused)):
            await pod._look()
        server.failures = [error]
        with pytest.raises((Unreachable, Refused)):
            await pod._look()
        assert not pod.gone
    server.failures = [none, none]
    await pod._look()
    assert pod.gone

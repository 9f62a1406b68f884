"""All pods this process follows: what comes from the watch goes in, decisions come out. No I/O, no clock of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lite.executors.kubernetes.outcomes import History, Judged, judge, seconds_of

Json = Mapping[str, Any]

RECORDED = "quarterdeck.dev/recorded"  # annotation: its outcome is in the store
_UNRECORDED_MS = 24 * 3_600_000  # how long a finished pod is kept for a supervisor that may yet come back


@dataclass(slots=True)
class Follow:
    """One pod. `decided` is its end, once there is positive evidence of it."""

    name: str
    history: History
    decided: asyncio.Future[Judged] = field(repr=False)
    due: int | None = None
    look: bool = False


class Reconciler:
    """`wake` is called when something is due earlier than was known, or a pod has to be looked for by name."""

    def __init__(self, now: Callable[[], int], wake: Callable[[], None] = lambda: None) -> None:
        self._now, self._wake = now, wake
        self._follows: dict[str, Follow] = {}
        self._finished: dict[str, tuple[str, int]] = {}  # name -> uid, when (ms) it may go
        self.ttl_ms = 0

    def __repr__(self) -> str:
        return f"<Reconciler {len(self._follows)} followed, {len(self._finished)} finished>"

    def follow(self, name: str, container: str, start_timeout_ms: int, *, asked: bool) -> Follow:
        """`asked`: it was created already, so that its absence means something."""
        history = History(container, self._now(), start_timeout_ms, asked=asked)
        found = Follow(name, history, asyncio.get_running_loop().create_future())
        self._follows[name] = found
        if asked:
            found.look = True
            self._wake()
        return found

    def forget(self, name: str) -> None:
        self._follows.pop(name, None)

    def stopping(self, name: str) -> None:
        """We asked for its end."""
        self._change(name, lambda seen: replace(seen, stopping=True))

    def saw(self, pod: Json) -> None:
        """As it is now: of a list, of an event, or asked for by name."""
        name = _name(pod)
        self._change(name, lambda seen: seen.saw(pod, self._now()))
        self._keep_or_collect(name, pod)

    def deleted(self, pod: Json) -> None:
        """A DELETED event, with the pod as it was last: whether it is really gone is asked by name."""
        name = _name(pod)
        self._finished.pop(name, None)
        self._change(name, lambda seen: seen.saw(pod, self._now()))
        self.look_again(name)

    def listed(self, pods: list[Json]) -> None:
        """All there are. Who is missing is asked for by name: a list may be older than what we did."""
        names = {_name(pod) for pod in pods}
        for pod in pods:
            self.saw(pod)
        for gone in self._finished.keys() - names:
            del self._finished[gone]
        for name, follow in self._follows.items():
            if name not in names:
                follow.look = True
        self._wake()

    def absent(self, name: str) -> None:
        """A 404 for exactly this name."""
        self._change(name, lambda seen: seen.missed(self._now()))

    def look_again(self, name: str) -> None:
        """It could not be asked for; or somebody says that it is gone."""
        follow = self._follows.get(name)
        if follow is not None:
            follow.look = True
            self._wake()

    def wanted(self) -> list[str]:
        """Those to ask the API for by name, now."""
        now = self._now()
        found = []
        for name, follow in self._follows.items():
            if follow.decided.done():
                continue
            due = follow.due is not None and follow.due <= now
            if follow.history.asked and (follow.look or (due and follow.history.absent_since)):
                follow.look = False
                found.append(name)
            elif due:
                self._decide(follow)
        return found

    def due(self) -> int | None:
        """When (ms) time alone changes something."""
        times = [one.due for one in self._follows.values() if one.due is not None]
        times += [at for _, at in self._finished.values()]
        return min(times, default=None)

    def collectable(self) -> list[tuple[str, str]]:
        """(name, uid) of finished pods nobody needs any more."""
        now = self._now()
        found = [(name, uid) for name, (uid, at) in self._finished.items() if at <= now]
        for name, _ in found:
            del self._finished[name]
        return found

    # helpers

    def _change(self, name: str, change: Callable[[History], History]) -> None:
        follow = self._follows.get(name)
        if follow is None or follow.decided.done():
            return
        follow.history = change(follow.history)
        self._decide(follow)

    def _decide(self, follow: Follow) -> None:
        judged = judge(follow.history, self._now())
        if judged.outcome is not None:
            follow.due = None
            follow.decided.set_result(judged)
        elif judged.due != follow.due:
            follow.due = judged.due
            self._wake()

    def _keep_or_collect(self, name: str, pod: Json) -> None:
        phase = (pod.get("status") or {}).get("phase")
        metadata = pod.get("metadata") or {}
        follow = self._follows.get(name)
        if not name or phase not in ("Succeeded", "Failed") or metadata.get("deletionTimestamp"):
            return
        recorded = (metadata.get("annotations") or {}).get(RECORDED) == "true"
        if not recorded and follow is not None:
            return
        ended = min(_ended_at(pod["status"]) or self._now(), self._now())
        at = ended + (self.ttl_ms if recorded else max(self.ttl_ms, _UNRECORDED_MS))
        known = self._finished.get(name)
        if known is None or known[1] > at:
            self._finished[name] = (str(metadata.get("uid") or ""), at)
            self._wake()


def _name(pod: Json) -> str:
    return str((pod.get("metadata") or {}).get("name") or "")


def _ended_at(status: Json) -> int:
    """ms since the epoch, by the cluster's clock; 0 when nothing says so."""
    times = [
        seconds_of(str(((one.get("state") or {}).get("terminated") or {}).get("finishedAt")))
        for one in status.get("containerStatuses") or ()
    ]
    return round(max(times, default=0.0) * 1000)

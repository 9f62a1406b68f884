"""What a bridge knows of its pod: followed by a watch of this one object, ended with a fence."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from typing import Any

from lite.executors.kubernetes.bridge_http import Api, Refused, Unreachable
from lite.executors.kubernetes.fencing import delete_options, token_of

log = logging.getLogger(__name__)

_BACKOFF_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
_GONE_SECONDS = 2.0  # between two looks at a pod that is not there
_NOT_FOUND, _CONFLICT, _EXPIRED = 404, 409, 410
_LINE = 8 << 20  # bytes of one watch event

Json = dict[str, Any]


class Pod:
    """`seen` is the object as last seen; `changed` is set whenever that is another one, or `gone` becomes true."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.seen: Json | None = None
        self.gone = False
        self.changed = asyncio.Event()
        self._uid = ""

    # what it says

    @property
    def state(self) -> Json:
        """`waiting`, `running` or `terminated` of the container, with what belongs to it."""
        for one in _dig(self.seen, "status", "containerStatuses") or ():
            if one.get("name") == self.api.pod.container:
                return dict(one.get("state") or {})
        return {}

    @property
    def running(self) -> bool:
        return "running" in self.state

    @property
    def ended(self) -> bool:
        return self.gone or "terminated" in self.state or _dig(self.seen, "status", "phase") in ("Succeeded", "Failed")

    def told(self) -> str:
        """What it waits for, in words for a person; "" when for nothing."""
        if self.seen is None or self.running or self.ended:
            return ""
        waiting = self.state.get("waiting") or {}
        reason = str(waiting.get("reason") or "")
        if reason and reason not in ("ContainerCreating", "PodInitializing"):
            return f"{reason}: {waiting.get('message') or ''}".rstrip(": ")
        for one in _dig(self.seen, "status", "conditions") or ():
            if one.get("type") == "PodScheduled" and one.get("status") != "True":
                return f"waiting for a node: {one.get('message') or one.get('reason') or ''}".rstrip(": ")
        if not _dig(self.seen, "spec", "nodeName"):
            return "waiting for a node"
        return f"on node {_dig(self.seen, 'spec', 'nodeName')}, waiting for the container"

    def kept(self) -> Json | None:
        """What of it is worth keeping: no values of the specification."""
        if self.seen is None:
            return None
        metadata = dict(self.seen.get("metadata") or {})
        metadata.pop("managedFields", None)
        return {"metadata": metadata, "status": self.seen.get("status") or {}}

    # following it

    async def follow(self) -> None:
        """For ever. Nothing but an answer of the API server changes what is known."""
        failures = 0
        while not self.gone:
            try:
                await self._look()
                failures = 0
                if not self.gone:
                    await self._watch()
            except (Unreachable, Refused) as error:
                log.debug("pod: %s", error)
                pause = _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)]
                await asyncio.sleep(pause * random.uniform(0.8, 1.2))
                failures += 1

    async def _look(self) -> None:
        try:
            self._take(await self.api.call("GET", self.api.path()))
        except Refused as error:
            if error.status != _NOT_FOUND:
                raise
            await asyncio.sleep(_GONE_SECONDS)
            try:
                self._take(await self.api.call("GET", self.api.path()))
            except Refused as again:
                if again.status != _NOT_FOUND:
                    raise
                self._vanish()

    async def _watch(self) -> None:
        version = str(_dig(self.seen, "metadata", "resourceVersion") or "")
        async with self.api.stream("GET", self.api.watch_path(version)) as parts:
            held = bytearray()
            async for part in parts:
                held += part
                while (end := held.find(b"\n")) >= 0:
                    line = bytes(held[:end])
                    del held[: end + 1]
                    if not self._event(line):
                        return
                if len(held) > _LINE:
                    return

    def _event(self, line: bytes) -> bool:
        """False: look again."""
        try:
            event = json.loads(line)
            kind, found = event["type"], event["object"]
        except (ValueError, KeyError, TypeError):
            return False
        if kind in ("ADDED", "MODIFIED"):
            self._take(found)
        elif kind == "DELETED":
            self._take(found)
            if not self.ended:
                self._vanish()
            return False
        elif kind == "ERROR":
            return False
        return not self.gone

    def _take(self, found: Json) -> None:
        uid = str(_dig(found, "metadata", "uid") or "")
        if self._uid and uid != self._uid:
            self._vanish()  # another one of the same name
            return
        self._uid = uid
        if found != self.seen:
            self.seen = found
            self.changed.set()

    def _vanish(self) -> None:
        self.gone = True
        self.changed.set()

    # ending it

    async def delete(self, grace_s: int) -> bool:
        """Ask for its end, unless somebody with a greater token has it: then False. Tries until it is answered."""
        failures = 0
        while not self.gone:
            try:
                found = await self.api.call("GET", self.api.path())
                if token_of(found) > self.api.pod.token:
                    return False
                if _dig(found, "metadata", "deletionTimestamp"):
                    return True
                await self.api.call("DELETE", self.api.path(), delete_options(found, grace_s))
                return True
            except Refused as error:
                if error.status == _NOT_FOUND:
                    return True
                pause = 0.05 if error.status == _CONFLICT else 1.0
            except Unreachable:
                pause = _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)]
            failures += 1
            await asyncio.sleep(pause)
        return True


def _dig(found: Any, *path: str) -> Any:
    for key in path:
        if not isinstance(found, dict):
            return None
        found = found.get(key)
    return found

"""Lists in pages and watches, with the versions and the 410s of the real ones."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from tests.support.kube.selectors import selector
from tests.support.kube.server import flag
from tests.support.kube.statuses import Refused, expired
from tests.support.kube.store import KINDS, Change, Store

Json = dict[str, Any]
_TOO_OLD = "The provided continue parameter is too old to display a consistent list result."


class Listing:
    def __init__(self, store: Store) -> None:
        self.bookmark_seconds = 60.0
        self.watches = 0  # open now
        self._store = store
        self._pages: dict[str, tuple[int, list[Json]]] = {}  # continue token -> version, what is left
        self._bookmarked = 0  # how often all watches were to send one
        self._broken = 0  # how often all watches were to end with 410

    def page(self, resource: str, namespace: str, query: Mapping[str, str]) -> Json:
        if token := query.get("continue"):
            if token not in self._pages:
                raise expired(_TOO_OLD, resume=self._keep(self._store.version, self._all(resource, namespace, query)))
            version, found = self._pages.pop(token)
        else:
            version, found = self._store.version, self._all(resource, namespace, query)
        meta: Json = {"resourceVersion": str(version)}
        limit = _number(query, "limit", 0)
        if limit and len(found) > limit:
            if not query.get("labelSelector") and not query.get("fieldSelector"):
                meta["remainingItemCount"] = len(found) - limit
            meta["continue"] = self._keep(version, found[limit:])
            found = found[:limit]
        # The items of a list carry neither kind nor version.
        items = [{key: value for key, value in each.items() if key not in ("kind", "apiVersion")} for each in found]
        return {"kind": f"{KINDS[resource]}List", "apiVersion": "v1", "metadata": meta, "items": items}

    def watch(self, resource: str, namespace: str, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        if query.get("sendInitialEvents"):
            raise Refused(422, "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled")
        matches = selector(resource, query.get("labelSelector", ""), query.get("fieldSelector", ""))
        given = query.get("resourceVersion", "")
        if given and not given.isdigit():
            raise Refused(400, f"resourceVersion: Invalid value: {given}")
        start = int(given or 0)
        initial = [] if start else self._all(resource, namespace, query)
        if start == 0:
            start = self._store.version
        bookmarks = flag(query, "allowWatchBookmarks")
        lasts = _number(query, "timeoutSeconds", 3600)

        def mine(change: Change) -> bool:
            meta = change.object["metadata"]
            return change.resource == resource and (not namespace or meta.get("namespace") == namespace)

        return self._watch(resource, initial, start, mine, matches, bookmarks, lasts)

    def expire_pages(self) -> None:
        self._pages.clear()

    def bookmark(self) -> None:
        self._bookmarked += 1
        self._store.touch()

    def break_watches(self) -> None:
        self._broken += 1
        self._store.touch()

    async def _watch(
        self,
        resource: str,
        initial: list[Json],
        version: int,
        mine: Callable[[Change], bool],
        matches: Callable[[Json], bool],
        bookmarks: bool,
        lasts: int,
    ) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        ends, next_bookmark = loop.time() + lasts, loop.time() + self.bookmark_seconds
        bookmarked, broken = self._bookmarked, self._broken
        self.watches += 1
        self._store.touch()
        try:
            for each in initial:
                yield _event("ADDED", each)
            while True:
                if version < self._store.oldest or broken != self._broken:
                    text = f"too old resource version: {version} ({self._store.oldest})"
                    yield _event("ERROR", expired(text).body)
                    return
                for change in self._store.since(version):
                    version = change.version
                    if mine(change) and (event := _seen(change, matches)):
                        yield event
                now = loop.time()
                due = now >= next_bookmark or bookmarked != self._bookmarked or now >= ends
                if due and bookmarks:
                    meta = {"resourceVersion": str(version), "creationTimestamp": None}
                    bare: Json = {
                        "kind": KINDS[resource],
                        "apiVersion": "v1",
                        "metadata": meta,
                        "spec": {},
                        "status": {},
                    }
                    yield _event("BOOKMARK", bare)
                if due:
                    bookmarked, next_bookmark = self._bookmarked, now + self.bookmark_seconds
                if now >= ends:
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(min(ends, next_bookmark)):
                        await self._store.changed(partial(self._news, (version, bookmarked, broken)))
        finally:
            self.watches -= 1
            self._store.touch()

    def _news(self, was: tuple[int, int, int]) -> bool:
        return (self._store.version, self._bookmarked, self._broken) != was

    def _all(self, resource: str, namespace: str, query: Mapping[str, str]) -> list[Json]:
        matches = selector(resource, query.get("labelSelector", ""), query.get("fieldSelector", ""))
        return [each for each in self._store.all(resource, namespace) if matches(each)]

    def _keep(self, version: int, left: list[Json]) -> str:
        token = secrets.token_urlsafe(12)
        self._pages[token] = (version, left)
        return token


def _seen(change: Change, matches: Callable[[Json], bool]) -> bytes:
    """By a watch with a selector: an object that begins to match is added, one that ceases to is deleted."""
    now = change.type != "DELETED" and matches(change.object)
    before = change.before is not None and matches(change.before)
    if now and not before:
        return _event("ADDED", change.object)
    if now:
        return _event("MODIFIED", change.object)
    return _event("DELETED", change.object) if before else b""


def _event(kind: str, each: Json) -> bytes:
    return json.dumps({"type": kind, "object": each}).encode() + b"\n"


def _number(query: Mapping[str, str], name: str, otherwise: int) -> int:
    try:
        return int(query.get(name) or otherwise)
    except ValueError:
        raise Refused(400, f'strconv.ParseInt: parsing "{query[name]}": invalid syntax') from None

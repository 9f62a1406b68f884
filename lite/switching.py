"""From one backend to another: a home remembers where it last ran, and does not leave running work behind unasked.

What is remembered holds no secret. The old backend is opened as any other, asked, and closed again; nothing in it is
changed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from lite.config.address import parse_backend
from lite.errors import BackendSwitch, QuarterdeckError
from lite.home import Home
from lite.identity import read_private, write_private
from lite.model.settings import RedisSettings, Settings
from lite.model.task import State, TaskQuery
from lite.ports import Backend, Clock

OPENING_SECONDS = 20.0  # to reach and ask the old backend
_COUNTED = 10_000
_FORMAT = 1

OpenBackend = Callable[[Home, Settings], tuple[Backend, Clock]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a home keeps truth: enough to find it again; `worker` is its worker's id there."""

    backend: str
    redis: RedisSettings
    worker: str = ""

    @classmethod
    def of(cls, settings: Settings, worker: str = "") -> Place:
        redis = settings.redis
        if redis.password.startswith("url "):  # by then that variable may hold another server's
            redis = replace(redis, password="")
        return cls(settings.backend, redis, worker)

    def same(self, other: Place) -> bool:
        """The same store, however it is reached."""
        return self._key() == other._key()

    def _key(self) -> tuple[str, str]:
        if self.backend == "sqlite":
            return "sqlite", ""
        return self.backend.replace("rediss://", "redis://", 1), self.redis.prefix

    def __str__(self) -> str:
        return self.backend if self.backend == "sqlite" else f"{self.backend}, keys {self.redis.prefix}:*"


async def check_switch(home: Home, settings: Settings, *, open_backend: OpenBackend, leave: bool) -> Sequence[str]:
    """What a person should hear about the backend this home leaves, one line each. Raises `BackendSwitch`, unless
    `leave`, when tasks run there that nobody else would look after, or when it cannot be asked."""
    try:
        last = _recall(home)
    except ValueError as error:
        if leave:
            return [f"the backend this home last ran on is not known any more: {error}"]
        hint = "qd up --switch starts all the same"
        raise BackendSwitch(f"cannot tell the last backend: {error}", hint=hint, place=str(home.last_backend)) from None
    if last is None or last.same(Place.of(settings)):
        return ()
    try:
        async with asyncio.timeout(OPENING_SECONDS):
            running, queued = await _ask(home, settings, last, open_backend)
    except (QuarterdeckError, TimeoutError) as error:
        why = str(error) or f"no answer within {OPENING_SECONDS:.0f} s"
        if leave:
            return [f"the last backend ({last}) was left unasked: {why}"]
        hint = "qd up --switch starts on the configured one all the same"
        message = f"this home last ran on {last}, which cannot be asked whether work still runs: {why}"
        raise BackendSwitch(message, hint=hint, place="backend") from error
    if running and not leave:
        hint = "configure the old one and qd down there first, or qd up --switch leaves them behind"
        raise BackendSwitch(
            f"this home last ran on {last}, where {running} of its tasks still run", hint=hint, place="backend"
        )
    left = [(running, "running"), (queued, "queued")]
    return [
        f"left behind on the last backend ({last}): {_count(number)} {state} task(s)"
        for number, state in left
        if number
    ]


def remember(home: Home, settings: Settings, worker: str) -> None:
    """From now on this home runs on the configured backend, as `worker`. Raises OSError."""
    place = Place.of(settings, "" if settings.backend == "sqlite" else worker)
    text = json.dumps({"format": _FORMAT} | asdict(place)) + "\n"
    try:
        if read_private(home.last_backend) == text.encode():
            return
    except OSError:
        pass  # whatever is there is replaced
    write_private(home.last_backend, text)


def _recall(home: Home) -> Place | None:
    """None: this home never ran. Raises `ValueError`."""
    try:
        data = read_private(home.last_backend)
    except OSError as error:
        raise ValueError(error.strerror) from error
    if not data and not home.last_backend.exists():
        return Place("sqlite", RedisSettings()) if home.database.exists() else None
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or told.get("format") != _FORMAT:
        raise ValueError("the file is not ours")
    backend, worker = told.get("backend"), told.get("worker")
    if not isinstance(backend, str) or not isinstance(worker, str) or parse_backend(backend).url != backend:
        raise ValueError("the file is not ours")
    return Place(backend, _redis(told.get("redis")), worker)


def _redis(told: Any) -> RedisSettings:
    defaults = RedisSettings()
    if not isinstance(told, dict) or set(told) != {one.name for one in fields(RedisSettings)}:
        raise ValueError("the file is not ours")
    if any(type(value) is not type(getattr(defaults, key)) for key, value in told.items()):
        raise ValueError("the file is not ours")
    return RedisSettings(**told)


async def _ask(home: Home, settings: Settings, last: Place, open_backend: OpenBackend) -> tuple[int, int]:
    """How many tasks run there whose leases are this home's to look after, and how many are queued (up to a limit)."""
    alone = last.backend == "sqlite"
    if alone and not home.database.exists():
        return 0, 0
    backend, clock = open_backend(home, replace(settings, backend=last.backend, redis=last.redis))
    await backend.open()
    try:
        running = await backend.tasks(TaskQuery(states=(State.RUNNING,), worker=last.worker))
        now = clock.now()
        live = [one for one in running if alone or (one.lease is not None and one.lease.expires_at > now)]
        queued = await backend.tasks(TaskQuery(states=(State.QUEUED,), limit=_COUNTED))
        return len(live), len(queued)
    finally:
        await backend.close()


def _count(number: int) -> str:
    return str(number) if number < _COUNTED else f"{number} or more"

"""Verbs on their way to the server: what is asked for together goes together, one script call for many of them.

While one call is out, what comes in is collected for the next. A call whose answer did not arrive is sent again under
its number; the script keeps its last answer for each client, so that nothing happens twice and no answer is lost.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from redis.exceptions import ResponseError

from lite.aio.probe import hit
from lite.aio.tasks import Job, spawn
from lite.backends.redis.connection import Link
from lite.backends.redis.failures import mapped, out_of_memory, passing
from lite.backends.redis.library import library
from lite.backends.redis.rows import encode
from lite.errors import BackendError

MOST_AT_ONCE = 100  # verbs in one call: the server does nothing else meanwhile
MOST_WAITING = 10_000
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0


class Refusal(Exception):
    """A verb was refused; the backend knows the words."""

    def __init__(self, code: str, arguments: list[Any]) -> None:
        super().__init__(code)
        self.code = code
        self.arguments = arguments


class _Asked(NamedTuple):
    verb: str
    arguments: Any
    takes_work: bool
    answer: asyncio.Future[Any]


class Calls:
    """`looks`: only looks, which need no number. `heard(cursor, server's time in ms, round trip in s)` is told of every
    answer; `seen()` is the newest cursor known here, below which the server must not begin again; `run_id()` names the
    server that is connected."""

    def __init__(
        self,
        link: Link,
        prefix: str,
        place: str,
        *,
        patience: float,
        heard: Callable[[int, int, float], None],
        seen: Callable[[], int],
        run_id: Callable[[], str],
        looks: bool = False,
    ) -> None:
        self._link = link
        self._prefix = prefix
        self._place = place
        self._patience = patience
        self._heard = heard
        self._seen = seen
        self._run_id = run_id
        self._looks = looks
        self._client = secrets.token_hex(8)
        self._number = 0
        self._waiting: deque[_Asked] = deque()
        self._wake = asyncio.Event()
        self._job: Job | None = None

    def __repr__(self) -> str:
        return f"<Calls {self._number} done, {len(self._waiting)} waiting>"

    def open(self) -> None:
        self._job = spawn(self._run(), "redis calls")

    async def close(self) -> None:
        """What still waits fails."""
        job, self._job = self._job, None
        if job is not None:
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)
        self._fail(self._waiting, BackendError("the backend was closed", place=self._place))
        self._waiting.clear()
        await self._link.drop()

    async def do(self, verb: str, arguments: Any, *, takes_work: bool = False) -> Any:
        """The verb's answer. Raises `Refusal`, or `BackendError` when the server cannot be reached in time."""
        if self._job is None:
            raise BackendError("the backend is not open", place=self._place)
        if len(self._waiting) >= MOST_WAITING:
            raise BackendError("too much waits for Redis already", hint="try again later", place=self._place)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Asked(verb, arguments, takes_work, answer))
        self._wake.set()
        return await answer

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch = self._next_batch()
                try:
                    while batch:
                        batch = await self._carry_out(batch)
                except BaseException as error:
                    self._fail(batch, BackendError("the backend was closed", place=self._place))
                    if not isinstance(error, Exception):
                        raise

    async def _carry_out(self, batch: list[_Asked]) -> list[_Asked]:
        """Returns what is still to be done: what brings no work, when the server had no memory for what does."""
        try:
            self._settle(batch, await self._deliver(batch))
        except BackendError as error:
            others = [asked for asked in batch if not asked.takes_work] if out_of_memory(error) else []
            if len(others) < len(batch):
                self._fail([asked for asked in batch if asked not in others], error)
                return others
            self._fail(batch, error)
        return []

    def _next_batch(self) -> list[_Asked]:
        batch: list[_Asked] = []
        while self._waiting and len(batch) < MOST_AT_ONCE:
            asked = self._waiting.popleft()
            if not asked.answer.done():  # else nobody waits any more
                batch.append(asked)
        return batch

    async def _deliver(self, batch: list[_Asked]) -> Any:
        self._number += 1
        loop = asyncio.get_running_loop()
        payload = encode([(asked.verb, asked.arguments) for asked in batch]).encode("utf-8", "surrogatepass")
        function = library().takes if any(asked.takes_work for asked in batch) else library().works
        give_up, pause = loop.time() + self._patience, _FIRST_PAUSE
        while True:
            begun = loop.time()
            try:
                text = await self._evaluate(function, payload)
                told = json.loads(text)
                if told.get("late"):
                    raise BackendError("a newer call has overtaken this one", place=self._place)
                self._heard(told["cursor"], told["time"], loop.time() - begun)
                hit("redis.called", verbs=len(batch))
                return told["answers"]
            except Exception as error:
                if isinstance(error, BackendError):
                    raise  # also: it is not a server we may use (any more)
                if not passing(error) or loop.time() >= give_up:
                    raise mapped(error, self._place) from error
                hit("redis.again", error=error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _evaluate(self, function: str, payload: bytes) -> bytes:
        remember = b"0" if self._looks else b"1"
        await self._link.connect()  # before the run id is asked for
        arguments = (0, self._prefix, self._client, self._number, self._seen(), payload, remember, self._run_id())
        try:
            answer: bytes = await self._link.ask("FCALL", function, *arguments)
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise
            await self._link.ask("FUNCTION", "LOAD", "REPLACE", library().text)  # new to us all, or forgotten
            answer = await self._link.ask("FCALL", function, *arguments)
        return answer

    def _settle(self, batch: list[_Asked], told: list[Any]) -> None:
        for asked, (kind, *rest) in zip(batch, told, strict=True):
            if asked.answer.done():
                continue
            if kind == 0:
                asked.answer.set_result(rest[0] if rest else None)
            elif kind == 1:
                asked.answer.set_exception(Refusal(rest[0], rest[1] or []))
            else:
                asked.answer.set_exception(mapped(RuntimeError(rest[0]), self._place))

    @staticmethod
    def _fail(batch: list[_Asked] | deque[_Asked], error: BackendError) -> None:
        for asked in batch:
            if not asked.answer.done():
                asked.answer.set_exception(error)

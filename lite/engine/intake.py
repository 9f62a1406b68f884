"""Takes in work that came as letters, around the API: each becomes a task, or is set aside with the reason."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from lite.aio.probe import hit
from lite.aio.service import Service
from lite.aio.tasks import Jobs
from lite.engine.context import Context
from lite.errors import BackendError, QuarterdeckError
from lite.model.letter import Letter
from lite.model.order import Order
from lite.model.task import Task
from lite.ports import Bridge

log = logging.getLogger(__name__)

BATCH = 100  # letters in hand at once
_LONGEST_BACKOFF_SECONDS = 2.0
_LONGEST_REASON = 500  # characters, in the log

Submit = Callable[[Order], Awaitable[tuple[Task, bool]]]


class Intake:
    """A letter is settled only after its task is stored. Its task has a key, its own or the letter's, so that one which
    is taken again (whoever had it died in between) gives the same task. Letters taken together become tasks in their
    order. When the backend fails, they stay unsettled and come again."""

    def __init__(self, context: Context, bridge: Bridge, submit: Submit) -> None:
        self.taken = 0  # letters that have their task
        self.refused = 0
        self._context = context
        self._bridge = bridge
        self._submit = submit
        self.service = Service("intake", self._loop, longest=_LONGEST_BACKOFF_SECONDS, sleep=context.clock.sleep)

    def __repr__(self) -> str:
        return f"<Intake {self.taken} taken, {self.refused} refused>"

    async def _loop(self) -> None:
        while True:
            await self._take_in(await self._bridge.receive(self._context.worker, limit=BATCH))

    async def _take_in(self, letters: Sequence[Letter]) -> None:
        failures: list[BackendError] = []
        jobs = Jobs("intake")
        try:
            for letter in letters:
                order = await self._order(letter)
                if order is None:
                    continue
                if order.needs:
                    await jobs.join()  # it may need what a letter before it asks for
                if failures:
                    break  # what failed comes again, before those that were not tried
                jobs.spawn(self._accept(letter, order, failures), letter.id)
                if order.needs:
                    await jobs.join()  # looking for them takes time, in which no later letter may overtake it
            await jobs.join()
        finally:
            await jobs.cancel()
        if failures:
            raise failures[0]

    async def _order(self, letter: Letter) -> Order | None:
        """None: refused."""
        if letter.problem:
            await self._refuse(letter, letter.problem)
            return None
        try:
            order = self._context.read_order(letter.payload)
        except QuarterdeckError as error:
            await self._refuse(letter, in_words(error))
            return None
        return order if order.key else replace(order, key=key_of(letter))

    async def _accept(self, letter: Letter, order: Order, failures: list[BackendError]) -> None:
        try:
            try:
                task, created = await self._submit(order)
            except BackendError:
                raise
            except QuarterdeckError as error:
                await self._refuse(letter, in_words(error), order.key)
            except Exception as error:  # a provider's mistake, or ours: it must not stop the other letters
                log.exception("letter %s", letter.id)
                await self._refuse(letter, f"internal error: {type(error).__name__}", order.key)
            else:
                hit("intake.stored", letter=letter.id, task=task.id, created=created)
                await self._bridge.settle(letter)
                self.taken += 1
                hit("intake.settled", letter=letter.id)
        except BackendError as error:
            failures.append(error)

    async def _refuse(self, letter: Letter, reason: str, key: str = "") -> None:
        if letter.retaken and key:
            reason += f"; it was taken before, so that there may be a task with its key {key!r} already"
        log.warning("letter %s refused: %s", letter.id, reason[:_LONGEST_REASON])
        await self._bridge.refuse(letter, reason, now=self._context.clock.now())
        self.refused += 1
        hit("intake.refused", letter=letter.id, reason=reason)


def key_of(letter: Letter) -> str:
    """The key of a letter's task, when it does not say one itself."""
    return f"letter:{letter.id}"


def in_words(error: QuarterdeckError) -> str:
    """`code: place: message (hint)`, on as many lines as the message has."""
    hint = f" ({error.hint})" if error.hint else ""
    return f"{error.code}: {error}{hint}"

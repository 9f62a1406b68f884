"""A bridge without a server: an office where letters lie, and whoever takes them in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lite.aio.probe import hit
from lite.errors import BackendError
from lite.model.letter import MAX_LETTER, Letter


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What was set aside; `payload` may be cut."""

    id: str
    reason: str
    payload: bytes
    time: int


@dataclass(slots=True)
class _Lying:
    letter: Letter
    taker: str = ""
    abandoned: bool = False
    given: bool = False


class Office:
    """Shared by all bridges, as a server is. `broken`: every verb fails until it is set back."""

    def __init__(self) -> None:
        self.letters: dict[str, _Lying] = {}
        self.dead: list[DeadLetter] = []
        self.bridges: list[FakeBridge] = []
        self.broken = False
        self._count = 0
        self._changed = asyncio.Event()

    def post(self, payload: bytes, problem: str = "") -> str:
        """Its id."""
        self._count += 1
        letter = Letter(f"{self._count}-0", payload[: MAX_LETTER + 1], problem=problem)
        self.letters[letter.id] = _Lying(letter)
        self.stir()
        return letter.id

    def abandon(self) -> None:
        """Whoever has letters in hand has been silent for too long."""
        for lying in self.letters.values():
            lying.abandoned = bool(lying.taker)
        self.stir()

    def ask_reload(self, asker: FakeBridge | None = None) -> None:
        for bridge in self.bridges:
            hit("bridge.heard", own=bridge is asker)
            if bridge is not asker:
                bridge.asked.set()

    def stir(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self) -> None:
        await self._changed.wait()

    def check(self) -> None:
        if self.broken:
            raise BackendError("the office is closed")


class FakeBridge:
    """Implements `lite.ports.Bridge`."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.asked = asyncio.Event()
        self.takers: dict[str, str] = {}
        self.closed = False
        office.bridges.append(self)

    async def receive(self, consumer: str, *, limit: int) -> Sequence[Letter]:
        while True:
            self.office.check()
            found = self._take(consumer, limit)
            if found:
                return found
            hit("bridge.waits", consumer=consumer)
            await self.office.changed()

    async def settle(self, letter: Letter) -> None:
        self.office.check()
        self.office.letters.pop(letter.id, None)

    async def refuse(self, letter: Letter, reason: str, *, now: int) -> None:
        self.office.check()
        lying = self.office.letters.get(letter.id)
        if lying is not None and lying.taker == self.takers.get(letter.id):
            del self.office.letters[letter.id]
            self.office.dead.append(DeadLetter(letter.id, reason, letter.payload, now))

    async def reload_asked(self) -> None:
        self.office.check()
        hit("bridge.listens")
        await self.asked.wait()
        self.asked.clear()

    async def ask_reload(self) -> None:
        self.office.check()
        await asyncio.sleep(0)
        self.office.ask_reload(self)

    async def close(self) -> None:
        self.closed = True

    def _take(self, consumer: str, limit: int) -> list[Letter]:
        lying = self.office.letters.values()
        mine = [one for one in lying if one.taker == consumer]
        left = [one for one in lying if one.taker != consumer and one.abandoned]
        new = [one for one in lying if not one.taker]
        found = []
        for one in [*mine, *left, *new][:limit]:
            found.append(replace(one.letter, retaken=one.given))
            one.taker, one.abandoned, one.given = consumer, False, True
            self.takers[one.letter.id] = consumer
        return found

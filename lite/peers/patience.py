"""How often to try again: with longer and longer pauses, until a worker has been out of reach for too long."""

from __future__ import annotations

from lite.ports import Clock

_FIRST, _LONGEST = 0.1, 1.0  # seconds between tries


class Patience:
    """Tries for `seconds` after a break. Who breaks off again and again without having brought anything uses up what is
    left of it."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.seconds = seconds
        self._clock = clock
        self._pause = _FIRST
        self._until: float | None = None
        self._connected: float | None = None

    def __repr__(self) -> str:
        return f"<Patience of {self.seconds:g} s, next pause {self._pause:g} s>"

    def connected(self) -> None:
        self._connected = self._clock.monotonic()

    def rewarded(self) -> None:
        """Something came: the next break counts from its own time."""
        self._until = self._connected = None
        self._pause = _FIRST

    async def wait(self) -> bool:
        """Pause before the next try; False when it is not worth one."""
        now = self._clock.monotonic()
        if self._connected is not None and now - self._connected > self.seconds:
            self.rewarded()  # it held, though there was nothing to say
        self._connected = None
        if self._until is None:
            self._until = now + self.seconds
        if now >= self._until:
            return False
        await self._clock.sleep(min(self._pause, self._until - now))
        self._pause = min(self._pause * 2, _LONGEST)
        return True

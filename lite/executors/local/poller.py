"""What a holder waits for. `select.poll` itself: `selectors` costs several times as much a turn and more memory."""

from __future__ import annotations

import select
from collections.abc import Callable

READ, WRITE = select.POLLIN, select.POLLOUT
_BOTH = READ | WRITE

Target = Callable[[int, int], None]  # of descriptor and mask (READ, WRITE)


class Poller:
    """A descriptor that is hung up or in error counts as ready for all it is registered for."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._known: dict[int, tuple[int, Target]] = {}

    def register(self, descriptor: int, events: int, target: Target) -> None:
        self._known[descriptor] = (events, target)
        self._poll.register(descriptor, events)

    def modify(self, descriptor: int, events: int) -> None:
        self._known[descriptor] = (events, self._known[descriptor][1])
        self._poll.modify(descriptor, events)

    def unregister(self, descriptor: int) -> None:
        """Raises KeyError for one that is not registered."""
        del self._known[descriptor]
        self._poll.unregister(descriptor)

    def turn(self, seconds: float | None) -> None:
        """Wait, and call the targets of all that is ready."""
        known = self._known
        for descriptor, found in self._poll.poll(None if seconds is None else seconds * 1000):
            entry = known.get(descriptor)  # an earlier target may have unregistered it
            if entry is not None:
                events, target = entry
                target(descriptor, (found if not found & ~_BOTH else _BOTH) & events)

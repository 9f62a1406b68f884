"""How long things have been silent, as seen from here: the evidence on which the dead are told from the slow. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping


class Silence:
    """Each thing has a sign of life (a lease its expiry, a worker its heartbeat). It is silent for as long as we have
    seen that same sign, on our own monotonic clock: wall clocks of other machines, or a sleep of ours, prove nothing.
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[Hashable, float]] = {}  # sign, since when (monotonic seconds)

    def __repr__(self) -> str:
        return f"<Silence of {sorted(self._seen)}>"

    def look(self, signs: Mapping[str, Hashable], at: float) -> None:
        """The signs as they are now; what is not named is forgotten."""
        self._seen = {
            name: known if (known := self._seen.get(name)) is not None and known[0] == sign else (sign, at)
            for name, sign in signs.items()
        }

    def lasted(self, name: str, at: float) -> float:
        """Seconds; 0 for what was never seen."""
        _, since = self._seen.get(name, (None, at))
        return at - since

    def soonest(self, seconds: float, at: float) -> float | None:
        """In how many seconds the next of them will have been silent for `seconds`; None when none is on the way."""
        left = [since + seconds - at for _, since in self._seen.values()]
        return min((one for one in left if one > 0), default=None)

    def forget(self) -> None:
        """We could not have heard: begin anew."""
        self._seen.clear()

"""Where a fresh terminal can begin to replay: the last full clear, with the modes in force there."""

from __future__ import annotations

from lite.executors.local.scanner import Csi, Ris, Sequence

_ALTERNATE = frozenset((47, 1047, 1049))
_MAX_MODES = 64  # a hostile program must not grow us
_DEFAULT_ON = frozenset((7, 25))


_Modes = tuple[frozenset[int], tuple[int, ...]]  # private modes that are set, keyboard flags pushed


class Marks:
    """`modes` are the private modes now set. `mark` is a logical offset."""

    def __init__(self) -> None:
        self.modes: set[int] = set(_DEFAULT_ON)
        self.mark = 0
        self._there: _Modes = (_DEFAULT_ON, ())  # in force at the mark
        self._main: tuple[int, _Modes] = (0, self._there)  # of the main screen, while the alternate one is shown
        self._kitty: list[int] = []

    def see(self, found: Sequence) -> None:
        if isinstance(found, Ris):
            self.modes = set(_DEFAULT_ON)
            self._kitty.clear()
            self._set(found.at)
        elif isinstance(found, Csi) and not found.intermediates:
            if found.final in b"hl" and found.prefix == b"?":
                self._private(found)
            elif found.final == b"J" and not found.prefix and found.params in (b"2", b"3"):
                self._set(found.at)
            elif found.final == b"u":
                self._keyboard(found)

    @property
    def preamble(self) -> bytes:
        """What a new terminal needs to be told before it replays from the mark."""
        modes, kitty = self._there
        off = b"".join(b"\x1b[?%dl" % mode for mode in sorted(_DEFAULT_ON - modes))
        alternate = b"".join(b"\x1b[?%dh" % mode for mode in sorted(modes & _ALTERNATE))
        on = b"".join(b"\x1b[?%dh" % mode for mode in sorted(modes - _DEFAULT_ON - _ALTERNATE))
        return alternate + off + on + b"".join(b"\x1b[>%du" % flags for flags in kitty)

    def _set(self, at: int) -> None:
        self.mark = at
        self._there = (frozenset(self.modes), tuple(self._kitty))

    def _private(self, found: Csi) -> None:
        for part in found.params.split(b";"):
            if not part.isdigit() or len(part) > 5:
                continue
            mode = int(part)
            was = bool(self.modes & _ALTERNATE)
            if found.final == b"l":
                self.modes.discard(mode)
                if mode in _ALTERNATE and was:
                    self.mark, self._there = self._main  # what the main screen showed comes back
            elif mode in _ALTERNATE and not was:
                self._main = (self.mark, self._there)
                self._set(found.at)
                self.modes.add(mode)
            elif len(self.modes) < _MAX_MODES:
                self.modes.add(mode)

    def _keyboard(self, found: Csi) -> None:
        if found.prefix == b">" and len(self._kitty) < 8:
            self._kitty.append(int(found.params) if found.params.isdigit() and len(found.params) < 3 else 0)
        elif found.prefix == b"<" and self._kitty:
            self._kitty.pop()

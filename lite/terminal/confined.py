"""A session in all rows of the outer terminal but the last one, which is the bar.

The program is kept out of that row by the outer terminal itself, whose scrolling margins end above it, and by clamping
what addresses rows absolutely. What may have hurt the bar all the same is followed by painting it again.

Painting must leave the cursor as the program left it. Escape codes offer one slot for that, DECSC, and the program may
be using it: there is no second one that all terminals have (xterm's SCOSC is the same slot), and asking the terminal
for its cursor would put an answer among the user's keys. But right after the program itself has saved or restored, the
slot and the cursor are equal, so that saving once more changes nothing. Hence: a program that does not use the slot is
painted beside after any chunk; one that does, only at its own saves and restores, until it has not touched the slot for
a while. Two more moments are left out: a synchronized update, and a cursor that may stand behind the last column, ready
to wrap, which some terminals (tmux) do not save. Every such wait is bounded.
"""

from __future__ import annotations

import re
import time
from typing import NamedTuple

from lite.terminal.bar import LEAST_ROWS, fit
from lite.terminal.passthrough import ALTERNATE, Passthrough, split

# Seconds that a painting waits at most, because of
_SYNCHRONIZED = 1.0  # an update the program does not end; terminals give up after about as long
_WRAPPING = 0.5  # a cursor that may be about to wrap
_RESTORED = 10.0  # a saved cursor that was restored, and may be again
_SAVED = 60.0  # a saved cursor that was not restored yet

_TAIL = 2048  # bytes of output in which the start of the cursor's line is looked for
_LINE_START = re.compile(rb"\r|\x1b\[[0-9;]*[Hf]|\x1b\[\d*G|\x1bc")
_COLUMN = re.compile(rb"\x1b\[\d*;?(\d*)[Hf]|\x1b\[(\d*)G")
_SEQUENCES = re.compile(rb"\x1b\][^\x1b]*\x1b\\|\x1b\[[^@-~]*[@-~]|\x1b[ -/]*[0-~]")
_MOVES_RIGHT = re.compile(rb"\t|\x1b\[[0-9;]*[CIab`]|\x1b8|\x1b\[u|\x1b\[\?(?:47|104[789])[hl]")

_ROWS_OF = {"$r": (0, 2), "$t": (0, 2), "$z": (0, 2), "${": (0, 2), "$x": (1, 3), "$v": (0, 2)}  # top, bottom
_CAREFUL = frozenset(("6", "7", "69", "1048", "2026")) | ALTERNATE


class _Slot(NamedTuple):
    at: float  # monotonic seconds of the last use
    restored: bool


class Confined(Passthrough):
    """Like `Passthrough`; `start` and `resize` give it the terminal, `show` the bar, `flush` paints what waits."""

    def __init__(self, *, own_title: bool = False) -> None:
        super().__init__(own_title=own_title)
        self.rows = 0  # that the program has; 0: there is no bar
        self._cols = self._height = 0
        self._text = ""
        self._painted = ""
        self._hurt = False
        self._tail = b""
        self._now = self._spoke = 0.0
        self._synchronized: float | None = None
        self._restart()

    def _restart(self) -> None:
        self._top, self._bottom = 1, self.rows
        self._alternate = self._origin = self._insert_on = False
        self._wraps = True
        self._slots: dict[bool, _Slot] = {}

    # what the pump calls ------------------------------------------------------------------------------------------

    def start(self, cols: int, rows: int) -> bytes:
        """Take over a terminal of that size: what it shows goes to its scrollback, the cursor to the first row."""
        self._cols, self._height, self.rows = cols, rows, rows - 1 if rows >= LEAST_ROWS else 0
        self._restart()
        if not self.rows:
            return b""
        self._hurt = True
        return b"\x1b[?6l\x1b[r\x1b[%d;1H\x1b[m%b\x1b[1;%dr" % (rows, b"\n" * rows, self.rows)

    def resize(self, cols: int, rows: int) -> bytes:
        """The terminal has a new size; it may have reset its margins and moved its lines. Keeps the cursor."""
        before, changed = self.rows, (self._cols, self._height) != (cols, rows)
        self._cols, self._height, self.rows = cols, rows, rows - 1 if rows >= LEAST_ROWS else 0
        self._top, self._bottom = 1, self.rows
        self._hurt, self._painted, self._tail = True, "", b""
        if not self.rows and not before:
            return b""
        off, on = b"\x1b[?6l", b"\x1b[?6h" if self._origin else b""
        out = b"\x1b7" + off + b"\x1b[r" + on + b"\x1b8"
        if before and self._alternate and changed:
            out += b"\x1b7%b\x1b[%d;1H\x1b[m\x1b[2K%b\x1b8" % (off, before + 1, on) if before + 1 < rows else b""
        elif before and changed:
            out += b"\x1b7\x1b[m\x1b[J\x1b8"  # the old bar is below the cursor; new sizes have programs draw anew
        if self.rows:  # leave the last row if the cursor is there, and nowhere else change anything
            out += b"\x1bD\x1b[A\x1b7%b\x1b[1;%dr%b\x1b8" % (off, self.rows, on)
        return out

    def show(self, text: str) -> None:
        """`text` is the bar's from now on: text and colours, all else is taken out."""
        self._text = text

    def feed(self, data: bytes) -> bytes:
        if not self.rows:
            return super().feed(data)
        self._now = time.monotonic()
        out = super().feed(data)
        if out:
            self._spoke = self._now
            self._tail = (self._tail + out)[-_TAIL:] if len(out) < _TAIL else out[-_TAIL:]
            if self._bottom < self.rows:
                self._hurt = True  # below its own margins nothing but the terminal's end stops the program
        return out

    def flush(self) -> bytes:
        """The bar, if it must be painted and may be; see `wait`."""
        return self._paint().encode() if self._due and self.wait() == 0 else b""

    def wait(self) -> float | None:
        """Seconds until `flush` may paint what is due, None when nothing is."""
        if not self._due:
            return None
        until, slot = 0.0, self._slots.get(self._alternate)
        if self._synchronized is not None:
            until = self._synchronized + _SYNCHRONIZED
        if slot is not None:
            until = max(until, slot.at + (_RESTORED if slot.restored else _SAVED))
        if until < self._spoke + _WRAPPING and self._may_wrap():
            until = self._spoke + _WRAPPING
        return max(0.0, until - time.monotonic())

    def reset(self) -> bytes:
        if not self.rows:
            return super().reset()
        self._margins = True
        return super().reset() + b"\x1b7\x1b[%d;1H\x1b[0m\x1b[2K\x1b8" % (self.rows + 1)

    # painting -----------------------------------------------------------------------------------------------------

    @property
    def _due(self) -> bool:
        return self.rows > 0 and (self._hurt or self._text != self._painted)

    def _paint(self) -> str:
        """From any cursor, back to it. Origin mode goes off even if it is not on: not all terminals know DECSTR."""
        self._hurt, self._painted = False, self._text
        text, width = fit(self._text, self._cols)
        parts = ["\x1b7", "\x1b]8;;\x1b\\" if self._link else "", "\x1b[?6l"]
        parts += ["\x1b[4l" if self._insert_on else "", "\x1b[?7l" if self._wraps else "", "\x1b(B\x0f"]
        parts += [f"\x1b[{self.rows + 1};1H\x1b[m\x1b[2K", text, "\x1b[K" if width < self._cols else "", "\x1b[m"]
        parts += ["\x1b[?7h" if self._wraps else "", "\x1b[4h" if self._insert_on else ""]
        parts += ["\x1b[?6h" if self._origin else "", f"\x1b]{self._link}\x1b\\" if self._link else "", "\x1b8"]
        return "".join(parts)

    def _equal(self) -> str:
        """At a point where slot and cursor are equal."""
        return self._paint() if self._due and self._synchronized is None else ""

    def _may_wrap(self) -> bool:
        """Whether the cursor may stand behind the last column, as far as the last output tells."""
        starts = list(_LINE_START.finditer(self._tail))
        if not starts:
            return len(self._tail) >= self._cols
        column, start = 0, starts[-1]
        found = _COLUMN.fullmatch(start[0])
        if found is not None:
            column = int(found[1] or found[2] or 1) - 1
        rest = self._tail[start.end() :]
        if _MOVES_RIGHT.search(rest):
            return True
        rest = _SEQUENCES.sub(b"", rest)
        return column + len(rest) >= self._cols  # no character has more columns than bytes

    # the program's sequences ----------------------------------------------------------------------------------------

    def escape(self, intermediates: str, final: str) -> str:
        passed = super().escape(intermediates, final)
        if not passed or not self.rows:
            return passed
        if passed == "\x1b7":
            return self._saved(passed)
        if passed == "\x1b8":
            return self._restored(passed)
        if passed == "\x1bc":
            self._restart()
            self._synchronized = None
        elif passed == "\x1b#8":  # fills the screen, removes the margins, homes the cursor
            self._top, self._bottom = 1, self.rows
        else:
            return passed
        self._hurt = True
        return f"{passed}\x1b[1;{self.rows}r"

    def csi(self, body: str, final: str) -> str:
        passed = super().csi(body, final)
        if not passed or not self.rows or final in "mKhlABCDG":
            return passed
        prefix, params, intermediates = split(body)
        kind = prefix + intermediates + final
        if kind in ("H", "f", "d"):
            return self._addressed(params, final)
        if kind == "r":
            return self._region(params)
        if kind in ("J", "?J"):
            if params.strip("0") not in ("1", "3"):
                self._hurt = True
        elif kind == "s":
            return "" if params else self._saved(passed)
        elif kind == "u":
            return self._restored(passed)
        elif kind == "e" and self._bottom == self.rows:
            return f"\x1b[{params}B"  # unlike VPR, CUD is stopped by the margin in every terminal
        elif kind == "!p":
            self._origin = self._insert_on = False
            self._wraps, self._hurt = True, True
            self._top, self._bottom = 1, self.rows
            self._slots.pop(self._alternate, None)
            return f"{passed}\x1b7\x1b[1;{self.rows}r\x1b8"
        elif kind in _ROWS_OF:
            return self._rectangle(params, kind)
        return passed

    def _addressed(self, params: str, final: str) -> str:
        if ":" in params:
            return ""
        row, *others = params.split(";")
        if row and int(row) > self.rows:
            row = str(self.rows)
        return f"\x1b[{';'.join((row, *others))}{final}"

    def _region(self, params: str) -> str:
        if ":" in params:
            return ""
        given = [int(part or 0) for part in params.split(";")] + [0, 0]
        top, bottom = given[0] or 1, min(given[1] or self.rows, self.rows)
        if top >= bottom:
            return ""  # as terminals do
        self._top, self._bottom = top, bottom
        return f"\x1b[{top};{bottom}r"

    def _rectangle(self, params: str, kind: str) -> str:
        if ":" in params:
            return ""
        parts = params.split(";")
        top, bottom = _ROWS_OF[kind]
        parts += [""] * (bottom + 2 - len(parts))
        if int(parts[top] or 1) > self.rows:
            return ""
        parts[bottom] = str(min(int(parts[bottom] or self.rows), self.rows))
        self._hurt = self._hurt or kind == "$v"  # the copy's place is given by its top only
        return f"\x1b[{';'.join(parts)}{kind}"

    def _saved(self, passed: str) -> str:
        self._slots[self._alternate] = _Slot(self._now, False)
        return passed + self._equal()

    def _restored(self, passed: str) -> str:
        if self._alternate not in self._slots:  # nothing saved: the slot is ours or older than the session
            self._origin = False
            return "\x1b[?6l\x1b[m\x1b(B\x0f\x1b[H"
        self._slots[self._alternate] = _Slot(self._now, True)
        return passed + self._equal()

    def _modes(self, prefix: str, params: str, final: str) -> str:
        modes = params.split(";")
        if not prefix and "4" in modes:
            self._insert_on = final == "h"
        if not prefix or not self.rows or _CAREFUL.isdisjoint(modes):
            return super()._modes(prefix, params, final)
        return "".join(self._mode(mode, final) for mode in modes)

    def _mode(self, mode: str, final: str) -> str:
        on = final == "h"
        if mode == "69":
            return ""  # margins left and right would cut the bar too
        if mode == "1048":
            return self._saved("\x1b[?1048h") if on else self._restored("\x1b[?1048l")
        passed = super()._modes("?", mode, final)
        if mode == "6":
            self._origin = on
        elif mode == "7":
            self._wraps = on
        elif mode == "2026":
            self._synchronized = self._now if on else None
        elif mode in ALTERNATE:
            # xterm restores a cursor even where there is no switch: it would be that of our last painting
            return passed + self._switched(mode, on) if self._alternate != on else ""
        return passed

    def _switched(self, mode: str, on: bool) -> str:
        """After a switch of screens: some terminals have margins for each, none has the bar on the other one."""
        self._alternate = on
        if on:
            self._slots.pop(True, None)
        self._hurt = True
        if mode != "1049" and not on and False in self._slots:
            return ""  # the slot is the program's
        again = "\x1b[?6h" if self._origin else ""
        return f"\x1b7\x1b[?6l\x1b[{self._top};{self._bottom}r{again}\x1b8"

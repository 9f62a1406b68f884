"""A terminal in memory: a program's bytes in, rows of styled text out. The port and its types; no library behind it.

`lite.terminal.emulators.make_emulator` chooses the implementation; `tests/contracts/emulator.py` says what all promise.

What comes out is safe to show: no control character, nothing that hides or reorders text, links to http(s) only. What
the program asks (DA, DSR, ...) is not answered here: the session's holder does that. The order of the calls of one
frame is `feed`*, `dirty`, then `row` for each dirty row on screen, `cursor`, `modes`; nothing else is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

MAX_COLS, MAX_ROWS = 1000, 1000  # `resize` and construction clamp to 1..these
DEFAULT_SCROLLBACK = 10_000  # rows kept above the screen
TRUE_COLOUR = 0x1000000  # a colour with this bit holds 0xRRGGBB below it; one without is a palette index, 0..255

CursorShape = Literal["block", "underline", "bar"]
Mouse = Literal["off", "x10", "normal", "button", "any"]
MouseEncoding = Literal["legacy", "utf8", "sgr", "urxvt", "sgr-pixels"]


class Style(NamedTuple):
    """How a run looks. Hashable and shared: a widget may cache what it makes of one."""

    fg: int | None = None  # None: the default colour
    bg: int | None = None
    bold: bool = False
    dim: bool = False
    italic: bool = False
    underline: int = 0  # 0 none, 1 single, 2 double, 3 curly, 4 dotted, 5 dashed
    strike: bool = False
    reverse: bool = False
    blink: bool = False
    hidden: bool = False  # SGR 8: occupies its cells, shows nothing
    link: str = ""  # http:// or https://, printable ASCII


PLAIN = Style()


class Run(NamedTuple):
    """Neighbouring cells of one style. A wide character is there once; `cells` counts it as two."""

    text: str
    style: Style
    cells: int


Row = tuple[Run, ...]  # left to right without holes; blanks of `PLAIN` at the right end are left out


class Cursor(NamedTuple):
    x: int  # 0..cols-1
    y: int  # 0..rows-1
    visible: bool
    shape: CursorShape
    blinking: bool


@dataclass(frozen=True, slots=True)
class Modes:
    """What the program asked of its terminal, as far as it concerns the screen and what is typed."""

    alternate: bool = False
    application_cursor: bool = False
    application_keypad: bool = False
    bracketed_paste: bool = False
    mouse: Mouse = "off"
    mouse_encoding: MouseEncoding = "legacy"
    alternate_scroll: bool = False  # 1007: on the alternate screen the wheel sends arrow keys
    focus_events: bool = False
    synchronized: bool = False  # 2026: hold the frame; the caller limits for how long
    kitty_flags: int = 0  # 1 disambiguate, 2 event types, 4 alternate keys, 8 all keys, 16 text
    modify_other_keys: bool = False  # xterm's, level 2
    reverse_screen: bool = False


@dataclass(frozen=True, slots=True)
class Capabilities:
    """In what implementations may differ."""

    reflow: bool  # `resize` wraps the lines of the main screen anew
    fast: bool  # megabytes a second: nine busy panes are no burden


class Emulator(Protocol):
    """Bytes may be cut anywhere. No input raises. Not thread-safe: one thread at a time."""

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def cols(self) -> int: ...

    @property
    def rows(self) -> int: ...

    def feed(self, data: bytes) -> None: ...

    def resize(self, cols: int, rows: int) -> None:
        """Clamped to 1..`MAX_COLS`, 1..`MAX_ROWS`. All rows are dirty after a change."""
        ...

    def dirty(self) -> Sequence[int]:
        """The rows that may look different since the last call, ascending. At first all of them."""
        ...

    def row(self, y: int) -> Row:
        """As of the bytes fed so far, asked for by `dirty` or not. IndexError outside of 0..rows-1."""
        ...

    def text(self, y: int) -> str:
        """The row without styles, blanks at the right end left out."""
        ...

    def wrapped(self, y: int) -> bool:
        """The row goes on in the next one: copying puts no line end between the two."""
        ...

    @property
    def cursor(self) -> Cursor: ...

    @property
    def modes(self) -> Modes: ...

    @property
    def title(self) -> str:
        """What the program calls its window: one harmless line of at most 256 characters."""
        ...

    @property
    def scrollback(self) -> int:
        """How many rows are kept above the screen; none on the alternate screen."""
        ...

    def history_row(self, index: int) -> Row:
        """0 is the oldest kept. IndexError outside of 0..scrollback-1."""
        ...

    def history_text(self, index: int) -> str: ...

    def close(self) -> None:
        """Frees what is held natively; nothing may be called after it but `close`."""
        ...


def plain(row: Row) -> str:
    """A row's text, blanks at the right end left out."""
    return "".join(run.text for run in row).rstrip(" ")

"""The emulator on bittty, pure Python: serves where there is no build of Ghostty's core.

bittty can be many historic machines; here it is cut down to what a modern terminal does and a program may ask for. Out
go whatever resizes the screen, clusters, printers, status lines, answerback and VT52.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any
from unicodedata import category

from bittty import BITTTY, Board, WidthPolicy, mode_profiles
from bittty.options import EDITING, KITTY_KEYBOARD, XTERM_MODIFY_KEYS
from bittty.present import RowsScrolledOff, ScrollbackCleared
from wcwidth import wcwidth

from lite.terminal.cells import NARROW, WIDE, join, marks, safe_link, safe_title
from lite.terminal.emulator import (
    DEFAULT_SCROLLBACK,
    MAX_COLS,
    MAX_ROWS,
    PLAIN,
    TRUE_COLOUR,
    Capabilities,
    Cursor,
    CursorShape,
    Modes,
    Row,
    Style,
    plain,
)

_MODEL = replace(
    BITTTY,
    mode_capabilities=BITTTY.mode_capabilities
    - {
        mode_profiles.DEC_ANSI,
        mode_profiles.DEC_RIGHT_TO_LEFT,
        mode_profiles.XTERM_COLUMN_MODE,
        mode_profiles.XTERM_ALLOW_COLUMN,
        mode_profiles.XTERM_ALLOW_ALT_SCREEN,
        mode_profiles.XTERM_MORE_FIX,
        mode_profiles.UNICODE_GRAPHEME_CLUSTERING,
        mode_profiles.UNICODE_AMBIGUOUS_WIDTH,
        mode_profiles.INBAND_RESIZE,
        mode_profiles.DEC_AUTO_ANSWERBACK,
        mode_profiles.DEC_CONCEAL_ANSWERBACK,
        mode_profiles.CONTOUR_TEXT_REFLOW,
    },
    control_capabilities=EDITING | {KITTY_KEYBOARD, XTERM_MODIFY_KEYS},
    options=frozenset(),
    macro_space=None,
    power_on_modes=BITTTY.power_on_modes | {1007},
    reflows=True,
)
_DROPPED = ("XTWINOPS", "DECSCPP", "LINUX_SETTERM", "DECDMAC", "DECINVM", "OSC_CLIPBOARD", "OSC_CWD", "DECRSTS")
_SLICE = 64 * 1024  # bytes fed at a time, and characters kept of an unfinished sequence
_SEQUENCE = re.compile("(?:\x1b\\[|\x9b)[0-9;:?<=>]*[ -/]*[@-~]|.", re.DOTALL)
_SHAPES: dict[str, CursorShape] = {"block": "block", "underline": "underline", "bar": "bar"}
_UNDERLINES = {None: 1, "double": 2, "curly": 3, "dotted": 4, "dashed": 5}
_ALWAYS_WIDE = frozenset("\u2e3a\u2e3b\u302e\u302f\U00016ff0\U00016ff1")
_MARKS_KEPT = 16  # zero-width characters taken into one cell


@lru_cache(maxsize=20_000)
def _columns(char: str) -> int:
    """As Ghostty counts them, so that both emulators wrap at the same place."""
    if char in _ALWAYS_WIDE:
        return 2
    width = int(wcwidth(char))
    if width == 0:
        return 1 if category(char) == "Mc" else 0
    return 0 if char == "\u115f" else width


class _Widths(WidthPolicy):  # type: ignore[misc]
    __slots__ = ()

    def width(self, char: str) -> int:
        return 1 if char.isascii() else max(_columns(char), 1)


class _Past:
    """The jack where bittty says which rows left the screen. The newest of them may go on in the next row."""

    keeps_scrollback = True

    def __init__(self, rows: int) -> None:
        self.rows: deque[Any] = deque(maxlen=rows)
        self.keeps_scrollback = rows > 0

    def present(self, event: object) -> None:
        if isinstance(event, RowsScrolledOff):
            self.rows.extend(event.lines)
        elif isinstance(event, ScrollbackCleared):
            self.rows.clear()


class BitttyEmulator:
    """See `lite.terminal.emulator.Emulator`."""

    capabilities = Capabilities(reflow=True, fast=False)

    def __init__(self, cols: int, rows: int, *, scrollback: int = DEFAULT_SCROLLBACK) -> None:
        cols, rows = _clamp(cols, rows)
        self._board = Board(width=cols, height=rows, model=_MODEL, width_policy=_Widths())
        for name in _DROPPED:
            self._board.registry.pop(name, None)
        shape = self._board.registry["DECSCUSR"]
        self._board.registry["DECSCUSR"] = lambda op: shape(replace(op, args=(op.args[0] or 2,)))  # 0: does not blink
        self._board.registry["ECH"] = self._blanking(self._board.registry["ECH"])
        self._past = _Past(max(scrollback, 0))
        self._board.attach_display(self._past)
        self._board.title.title = ""
        blitter = self._board.blitter
        self._write_text = blitter.write_text
        blitter.write_text = self._write
        self._shift_segment = blitter._shift_line_segment
        blitter._shift_line_segment = self._shift
        self._page: Any = None  # the one looked at last
        self._epoch = 0
        self._seen: list[Row] = [()] * rows
        self._pending = set(range(rows))
        self._stale = True

    def __repr__(self) -> str:
        return f"<BitttyEmulator {self.cols}x{self.rows}>"

    @property
    def cols(self) -> int:
        return int(self._board.width)

    @property
    def rows(self) -> int:
        return int(self._board.height)

    def close(self) -> None:
        self._board.detach_display()

    # in ---------------------------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        self._stale = True
        for at in range(0, len(data), _SLICE):
            self._parse(data[at : at + _SLICE])

    def resize(self, cols: int, rows: int) -> None:
        cols, rows = _clamp(cols, rows)
        if (cols, rows) == (self.cols, self.rows):
            return
        self._board.resize(cols, rows)
        self._seen = [()] * rows
        self._pending = set(range(rows))
        self._page, self._stale = None, True

    def _parse(self, data: bytes) -> None:
        board, parser = self._board, self._board.parser
        fed = False
        while True:
            try:
                if fed:
                    parser.feed("")
                else:
                    fed = True
                    board.feed_host_data(data)
                break
            except Exception:
                # a sequence it trips over (numbers of a thousand digits): go on after it
                found = _SEQUENCE.match(parser.buffer, parser.pos)
                parser.buffer = parser.buffer[found.end() :] if found else ""
                parser.pos, parser.mode = 0, None
        if len(parser.buffer) > _SLICE:
            # an unfinished string: its beginning is enough, and what may be half of its end
            parser.buffer = parser.buffer[: _SLICE // 2] + parser.buffer[-1]
            parser.pos = min(parser.pos, _SLICE // 2)

    def _background(self) -> Any:
        """What is blanked takes the background of the moment and nothing else, as in all modern terminals."""
        current = self._board.style.current
        return type(current)(bg=current.bg)

    def _blanking(self, handler: Callable[[Any], None]) -> Callable[[Any], None]:
        def blank(operation: Any) -> None:
            look = self._board.style
            kept, look.current = look.current, self._background()
            handler(operation)
            look.current = kept

        return blank

    def _shift(self, y: int, x: int, right: int, columns: int, _style: Any = None) -> None:
        self._shift_segment(y, x, right, columns, self._background())

    def _write(self, text: str, ansi_code: str = "") -> None:
        """Zero-width characters belong to the cell before them; bittty would give them one of their own."""
        if text.isascii():
            self._write_text(text, ansi_code)
            return
        start = 0
        for at, char in enumerate(text):
            if not char.isascii() and _columns(char) == 0:
                if start < at:
                    self._write_text(text[start:at], ansi_code)
                self._attach(char)
                start = at + 1
        if start < len(text):
            self._write_text(text[start:], ansi_code)

    def _attach(self, char: str) -> None:
        cursor, page = self._board.cursor, self._board.blitter.current_page
        x = cursor.x - 1
        if x < 0 or cursor.y >= len(page.grid):
            return
        row = page.grid[cursor.y]
        if x and row[x][1] == "":
            x -= 1
        style, shown = row[x]
        if shown != " " and len(shown) < _MARKS_KEPT:
            row[x] = (style, type(shown)(shown + char))
            page._touch_row(cursor.y)

    # out --------------------------------------------------------------------------------------------------------------

    def dirty(self) -> Sequence[int]:
        self._look()
        rows = sorted(self._pending)
        self._pending.clear()
        return rows

    def row(self, y: int) -> Row:
        self._look()
        if not 0 <= y < self.rows:
            raise IndexError(y)
        return self._seen[y]

    def text(self, y: int) -> str:
        return plain(self.row(y))

    def wrapped(self, y: int) -> bool:
        if not 0 <= y < self.rows:
            raise IndexError(y)
        return bool(self._board.blitter.main_page.is_line_wrapped(y))

    @property
    def cursor(self) -> Cursor:
        cursor, modes = self._board.cursor, self._board.modes
        x, y = min(int(cursor.display_x), self.cols - 1), min(int(cursor.y), self.rows - 1)
        return Cursor(x, y, bool(modes.cursor_visible), _SHAPES[cursor.shape], bool(modes.cursor_blinking))

    @property
    def modes(self) -> Modes:
        board, modes, mouse = self._board, self._board.modes, self._board.mouse
        tracking = mouse.protocol.value
        return Modes(
            alternate=bool(board.blitter.in_alt_screen),
            application_cursor=bool(modes.cursor_application_mode),
            application_keypad=bool(modes.application_keypad),
            bracketed_paste=bool(modes.bracketed_paste),
            mouse="off" if tracking == "locator" else tracking,
            mouse_encoding=mouse.encoding.value,
            alternate_scroll=bool(modes.alternate_scroll_mode),
            focus_events=bool(modes.focus_reporting),
            synchronized=bool(modes.synchronized_output),
            kitty_flags=int(board.keyboard.kitty_flags),
            modify_other_keys=board.keyboard.modify_other_keys == 2,
            reverse_screen=bool(modes.reverse_screen),
        )

    @property
    def title(self) -> str:
        return safe_title(self._board.title.title)

    @property
    def scrollback(self) -> int:
        return 0 if self._board.blitter.in_alt_screen else len(self._past.rows)

    def history_row(self, index: int) -> Row:
        if not 0 <= index < self.scrollback:
            raise IndexError(index)
        return _row(self._past.rows[index].cells[: self.cols])

    def history_text(self, index: int) -> str:
        return plain(self.history_row(index))

    def _look(self) -> None:
        if not self._stale:
            return
        self._stale = False
        page = self._board.blitter.main_page
        changed: Iterable[int] = page.dirty_rows(self._epoch) if page is self._page else range(self.rows)
        self._page = page
        seen = self._seen
        for y in changed:
            row = _row(page.grid[y][: self.cols])  # reflow may leave half of a wide character over the edge
            if seen[y] != row:
                seen[y] = row
                self._pending.add(y)
        self._epoch = page.observe()


def _row(cells: Sequence[tuple[Any, str]]) -> Row:
    shown: list[str] = []
    pieces: list[tuple[int, Style]] = []
    last: Any = None
    for x, (style, text) in enumerate(cells):
        if style is not last:
            last = style
            pieces.append((x, _style(style)))
        if text.isascii() and text.isprintable():
            shown.append(text)  # nothing in the second half of a wide one
        else:
            wide = x + 1 < len(cells) and cells[x + 1][1] == ""
            base = (WIDE if wide else NARROW)[ord(text[0])] if wide or _columns(text[0]) != 2 else " "
            shown.append(base[:1] + marks(base[:1], text[1:]) + base[1:] if len(text) > 1 else base)
    return join(shown, pieces) if pieces else ()


@lru_cache(maxsize=4096)
def _style(style: Any) -> Style:
    made = Style(
        _colour(style.fg),
        _colour(style.bg),
        bool(style.bold),
        bool(style.dim),
        bool(style.italic),
        _UNDERLINES.get(style.underline_style, 1) if style.underline else 0,
        bool(style.strike),
        bool(style.reverse),
        bool(style.blink),
        bool(style.conceal),
        safe_link(style.hyperlink or ""),
    )
    return PLAIN if made == PLAIN else made


def _colour(colour: Any) -> int | None:
    if colour is None or colour.mode == "default":
        return None
    if colour.mode == "indexed":
        return int(colour.value)
    red, green, blue = colour.value
    return TRUE_COLOUR | int(red) << 16 | int(green) << 8 | int(blue)


def _clamp(cols: int, rows: int) -> tuple[int, int]:
    return min(max(cols, 1), MAX_COLS), min(max(rows, 1), MAX_ROWS)

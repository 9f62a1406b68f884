"""The emulator on Ghostty's terminal core (libghostty-vt, by way of pyghostty). Importing this costs 110 ms."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pyghostty._ffi import check, ffi, lib

from lite.terminal.cells import safe_title
from lite.terminal.emulator import (
    DEFAULT_SCROLLBACK,
    MAX_COLS,
    MAX_ROWS,
    Capabilities,
    Cursor,
    Modes,
    Mouse,
    MouseEncoding,
    Row,
    plain,
)
from lite.terminal.ghostty_rows import View, probe

# Modes a program may not have: 2027 makes clusters of cells, about which terminals differ; 40 lets it resize itself.
_BARRED = (2027, 40)
_BARS = re.compile(rb"\x1b\[\?(?:[\d;]*;)?0*(?:2027|40)(?:;[\d;]*)?h")
_BEGUN = re.compile(rb"\x1b(?:\[(?:\?[\d;]{0,64})?)?\Z")

# Where there may be a character without width. The core forgets to call a row changed when one joins a character that
# was there before; so after these every row is read. More than there are match: it is about speed only.
_MARKS = tuple(
    re.compile(lead)  # one a lead byte: a search for a known byte is quick
    for lead in (
        rb"[\xcc\xcd\xd6-\xdf\xe0\xe1\xf3]",
        rb"\xd2[\x83-\x89]",
        rb"\xe2(?:\x80[\x8b-\x8f\xaa-\xae]|\x81[\xa0-\xaf]|\x83[\x90-\xb0]|[\xb3\xb5\xb7])",
        rb"\xe3(?:\x80[\xaa-\xaf]|\x82[\x99\x9a])",
        rb"\xea[\x99-\xaf]",
        rb"\xed[\x9e\x9f]",
        rb"\xef(?:\xac\x9e|\xb8[\x80-\x8f\xa0-\xaf]|[\xbb\xbe\xbf])",
        rb"\xf0[\x90\x91\x93\x96\x9b-\x9e]",
    )
)

_TRACKING: tuple[tuple[int, Mouse], ...] = ((1003, "any"), (1002, "button"), (1000, "normal"), (9, "x10"))
_ENCODINGS: tuple[tuple[int, MouseEncoding], ...] = (
    (1016, "sgr-pixels"),
    (1006, "sgr"),
    (1015, "urxvt"),
    (1005, "utf8"),
)
_CELL = (8, 16)  # pixels; only programs ask, and the holder answers them
_CTRL_SHIFT = 1 | 2
_TITLE_BYTES = 4096  # as much of a title as is looked at

ffi.cdef("typedef struct { GhosttyTerminalScrollViewportTag tag; uint64_t row; uint64_t unused; } QuarterdeckScroll;")
# a union by value cannot be passed; a struct of the same layout can
_scroll = ffi.cast(
    "void(*)(GhosttyTerminal, QuarterdeckScroll)", ffi.addressof(lib, "ghostty_terminal_scroll_viewport")
)

probe()


class GhosttyEmulator:
    """See `lite.terminal.emulator.Emulator`. Rows are read once, when they changed, and kept."""

    capabilities = Capabilities(reflow=True, fast=True)

    def __init__(self, cols: int, rows: int, *, scrollback: int = DEFAULT_SCROLLBACK) -> None:
        self._cols, self._rows = _clamp(cols, rows)
        self._scrollback = max(scrollback, 0)
        handle = ffi.new("GhosttyTerminal*")
        check(lib.ghostty_terminal_new(ffi.NULL, handle, self._cols, self._rows), "terminal")
        self._terminal = ffi.gc(handle[0], lib.ghostty_terminal_free)
        self._screen = View(self._terminal)
        self._past: View | None = None  # made when somebody scrolls
        self._past_rows: dict[int, Row] = {}  # the rows of history last looked at
        self._seen: list[Row] = [()] * self._rows
        self._pending = set(range(self._rows))
        self._stale = True  # bytes came since the last look
        self._modes: Modes | None = None
        self._cursor: Cursor | None = None
        self._all = False  # the next look must be at all rows
        self._last = b""  # bytes of what may be half a character
        self._tail = b""  # the beginning of what may become a barred mode
        self._value = ffi.new("uint64_t*")
        self._mode = ffi.new("GhosttyTerminalModeConfig*")
        encoder, key = ffi.new("GhosttyKeyEncoder*"), ffi.new("GhosttyKeyEvent*")
        check(lib.ghostty_key_encoder_new(ffi.NULL, encoder), "key encoder")
        check(lib.ghostty_key_event_new(ffi.NULL, key), "key event")
        self._encoder = ffi.gc(encoder[0], lib.ghostty_key_encoder_free)
        self._key = ffi.gc(key[0], lib.ghostty_key_event_free)
        lib.ghostty_key_event_set_action(self._key, lib.GHOSTTY_KEY_ACTION_PRESS)
        lib.ghostty_key_event_set_key(self._key, lib.GHOSTTY_KEY_H)
        lib.ghostty_key_event_set_mods(self._key, _CTRL_SHIFT)
        lib.ghostty_key_event_set_utf8(self._key, b"H", 1)
        lib.ghostty_key_event_set_unshifted_codepoint(self._key, ord("h"))
        self._limit()

    def __repr__(self) -> str:
        return f"<GhosttyEmulator {self._cols}x{self._rows}{'' if self._terminal else ' closed'}>"

    @property
    def cols(self) -> int:
        return self._cols

    @property
    def rows(self) -> int:
        return self._rows

    def close(self) -> None:
        if self._terminal is not None:
            self._screen.close()
            if self._past is not None:
                self._past.close()
            ffi.release(self._terminal)
            self._terminal = None

    # in ---------------------------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        if not data.isascii():
            joined = self._last + data
            self._all = self._all or any(marks.search(joined) for marks in _MARKS)
            self._last = joined[-3:]
        at, window, kept = 0, self._tail + data, len(self._tail)
        for found in _BARS.finditer(window):
            self._write(data[at : found.end() - kept])
            at = found.end() - kept
            self._bar()
        self._write(data[at:])
        begun = _BEGUN.search(window, max(len(window) - 80, 0))
        self._tail = begun[0] if begun else b""
        self._forget()

    def resize(self, cols: int, rows: int) -> None:
        cols, rows = _clamp(cols, rows)
        if (cols, rows) == (self._cols, self._rows):
            return
        self._cols, self._rows = cols, rows
        check(lib.ghostty_terminal_resize(self._terminal, cols, rows, *_CELL), "resize")
        self._limit()
        self._seen = [()] * rows
        self._pending = set(range(rows))
        self._forget()

    def _write(self, data: bytes) -> None:
        if data:
            lib.ghostty_terminal_vt_write(self._terminal, data, len(data))

    def _bar(self) -> None:
        config = self._mode
        for number in _BARRED:
            config.mode, config.value = number, False
            check(lib.ghostty_terminal_set(self._terminal, lib.GHOSTTY_TERMINAL_OPT_MODE, config), "mode")

    def _forget(self) -> None:
        self._stale = True
        self._modes = self._cursor = None
        self._past_rows.clear()

    def _limit(self) -> None:
        """No more than so many rows kept, nor than a program can swell them to; no image, no file read for one."""
        set_, value = lib.ghostty_terminal_set, ffi.new("size_t*")
        value[0] = self._scrollback
        check(set_(self._terminal, lib.GHOSTTY_TERMINAL_OPT_SCROLLBACK_MAX_LINES, value), "scrollback rows")
        value[0] = self._scrollback * (16 * self._cols + 128) + (4 << 20 if self._scrollback else 0)
        check(set_(self._terminal, lib.GHOSTTY_TERMINAL_OPT_SCROLLBACK_MAX_BYTES, value), "scrollback bytes")
        value[0] = 0
        check(set_(self._terminal, lib.GHOSTTY_TERMINAL_OPT_KITTY_IMAGE_STORAGE_LIMIT, value), "images")
        check(set_(self._terminal, lib.GHOSTTY_TERMINAL_OPT_CLIPBOARD_WRITE_MAX_BYTES, value), "clipboard")
        value[0] = 4096
        check(set_(self._terminal, lib.GHOSTTY_TERMINAL_OPT_APC_MAX_BYTES, value), "APC")

    # out --------------------------------------------------------------------------------------------------------------

    def dirty(self) -> Sequence[int]:
        self._look()
        rows = sorted(self._pending)
        self._pending.clear()
        return rows

    def row(self, y: int) -> Row:
        self._look()
        if not 0 <= y < self._rows:
            raise IndexError(y)
        return self._seen[y]

    def text(self, y: int) -> str:
        return plain(self.row(y))

    def wrapped(self, y: int) -> bool:
        if not 0 <= y < self._rows:
            raise IndexError(y)
        return self._screen.wrapped(y)

    @property
    def cursor(self) -> Cursor:
        if self._cursor is None:
            self._look()
            self._cursor = self._screen.cursor()
        return self._cursor

    @property
    def modes(self) -> Modes:
        if self._modes is None:
            self._modes = self._read_modes()
        return self._modes

    @property
    def title(self) -> str:
        found = ffi.new("GhosttyString*")
        check(lib.ghostty_terminal_get(self._terminal, lib.GHOSTTY_TERMINAL_DATA_TITLE, found), "title")
        size = min(found.len, _TITLE_BYTES)
        return safe_title(ffi.buffer(found.ptr, size)[:].decode("utf-8", "replace")) if size else ""

    @property
    def scrollback(self) -> int:
        return self._get(lib.GHOSTTY_TERMINAL_DATA_SCROLLBACK_ROWS)

    def history_row(self, index: int) -> Row:
        row = self._past_rows.get(index)
        if row is None:
            if not 0 <= index < self.scrollback:
                raise IndexError(index)
            self._look_back(index)
            row = self._past_rows[index]
        return row

    def history_text(self, index: int) -> str:
        return plain(self.history_row(index))

    def _look(self) -> None:
        if not self._stale:
            return
        self._stale = False
        if self._all:
            self._all = False
            self._renew()
        seen = self._seen
        for y, row in self._screen.update().items():
            if seen[y] != row:
                seen[y] = row
                self._pending.add(y)

    def _look_back(self, index: int) -> None:
        """Read a screenful of history, by scrolling there and back again."""
        self._look()  # the flags that rows changed are shared: whoever looks takes them
        if self._past is None:
            self._past = View(self._terminal)
        first = min(index, max(self.scrollback - self._rows, 0))
        _scroll(self._terminal, ffi.new("QuarterdeckScroll*", (lib.GHOSTTY_SCROLL_VIEWPORT_ROW, first, 0))[0])
        self._renew()
        rows = self._past.update()
        _scroll(self._terminal, ffi.new("QuarterdeckScroll*", (lib.GHOSTTY_SCROLL_VIEWPORT_BOTTOM, 0, 0))[0])
        self._past_rows = {first + y: row for y, row in rows.items()}

    def _renew(self) -> None:
        """Make the next look one at all rows: setting the palette, even to what it was, does that."""
        code = lib.ghostty_terminal_set(self._terminal, lib.GHOSTTY_TERMINAL_OPT_COLOR_PALETTE, ffi.NULL)
        check(code, "palette")

    def _get(self, what: int) -> int:
        self._value[0] = 0
        check(lib.ghostty_terminal_get(self._terminal, what, self._value), "terminal state")
        return int(self._value[0])  # whatever its width: both kinds of machine we run on are little-endian

    def _is_set(self, mode: int) -> bool:
        self._mode.mode = mode
        check(lib.ghostty_terminal_get(self._terminal, lib.GHOSTTY_TERMINAL_DATA_MODE, self._mode), "mode")
        return bool(self._mode.value)

    def _other_keys(self) -> bool:
        """The library tells this only by how it would encode a key."""
        encoder, size = self._encoder, ffi.new("size_t*")
        lib.ghostty_key_encoder_setopt_from_terminal(encoder, self._terminal)
        lib.ghostty_key_encoder_setopt(encoder, lib.GHOSTTY_KEY_ENCODER_OPT_KITTY_FLAGS, ffi.new("uint8_t*", 0))
        out = ffi.new("char[]", 64)
        check(lib.ghostty_key_encoder_encode(encoder, self._key, out, 64, size), "key")
        return bytes(ffi.buffer(out, size[0])).startswith(b"\x1b[27;")

    def _read_modes(self) -> Modes:
        is_set = self._is_set
        return Modes(
            alternate=self._get(lib.GHOSTTY_TERMINAL_DATA_ACTIVE_SCREEN) == 1,
            application_cursor=is_set(1),
            application_keypad=is_set(66),
            bracketed_paste=is_set(2004),
            mouse=next((name for mode, name in _TRACKING if is_set(mode)), "off"),
            mouse_encoding=next((name for mode, name in _ENCODINGS if is_set(mode)), "legacy"),
            alternate_scroll=is_set(1007),
            focus_events=is_set(1004),
            synchronized=is_set(2026),
            kitty_flags=self._get(lib.GHOSTTY_TERMINAL_DATA_KITTY_KEYBOARD_FLAGS),
            modify_other_keys=self._other_keys(),
            reverse_screen=is_set(5),
        )


def _clamp(cols: int, rows: int) -> tuple[int, int]:
    return min(max(cols, 1), MAX_COLS), min(max(rows, 1), MAX_ROWS)

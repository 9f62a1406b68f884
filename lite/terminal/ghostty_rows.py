"""What Ghostty's terminal core shows, read a row at a time. Only `lite.terminal.ghostty` imports this.

pyghostty's own layer reads one cell a call; here a whole row comes at once from the packed cells of the render state,
and is taken apart with integers as long as the row. That packing is no promise of the library: `probe` checks it
against the accessors, and a build that differs raises ImportError, so that the other emulator serves.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from pyghostty._ffi import check, ffi, lib, union_fn

from lite.terminal.cells import NARROW, WIDE, join, marks, safe_link
from lite.terminal.emulator import MAX_COLS, PLAIN, TRUE_COLOUR, Cursor, CursorShape, Row, Run, Style

# Bits of a packed cell: tag 0-1 (1 a cluster, 2 and 3 no text but a colour), code point or colour 2-25, style 26-41,
# width 42-43 (1 the head of a wide character, 2 its tail), link 45.
_TAG, _CONTENT, _WIDTH, _LINK = 0b11, 0xFFFFFF << 2, 0b11 << 42, 1 << 45
_LOOK = 0xFFFF << 26 | _LINK
_RUNS = re.compile(rb"(?s)(.{8})\1*")
_KEPT_STYLES = 4096
_LONGEST_CLUSTER = 64  # code points
_LONGEST_LINK = 4096  # bytes
_SHAPES: tuple[CursorShape, ...] = ("bar", "block", "underline", "block")

_grid_ref = union_fn("ghostty_terminal_grid_ref", "GhosttyResult(*)(GhosttyTerminal, GhosttyPointS, GhosttyGridRef*)")
_next_dirty = lib.ghostty_render_state_row_iterator_next_dirty
_row_get = lib.ghostty_render_state_row_get
_cell_get = lib.ghostty_render_state_row_cells_get
_ROWS = lib.GHOSTTY_RENDER_STATE_DATA_ROW_ITERATOR
_CURSOR = lib.GHOSTTY_RENDER_STATE_DATA_CURSOR
_PACKED = lib.GHOSTTY_RENDER_STATE_ROW_DATA_CELLS_RAW
_CELLS = lib.GHOSTTY_RENDER_STATE_ROW_DATA_CELLS
_STYLE = lib.GHOSTTY_RENDER_STATE_ROW_CELLS_DATA_STYLE
_CLUSTER_LENGTH = lib.GHOSTTY_RENDER_STATE_ROW_CELLS_DATA_GRAPHEMES_LEN
_CLUSTER = lib.GHOSTTY_RENDER_STATE_ROW_CELLS_DATA_GRAPHEMES_BUF


class _Masks(NamedTuple):
    """The same bits in each of `n` cells, as one integer."""

    ones: int
    content: int
    look: int
    width: int
    tag: int


@lru_cache(maxsize=2 * MAX_COLS)
def _masks(n: int) -> _Masks:
    ones = int.from_bytes(b"\1\0\0\0\0\0\0\0" * n, "little")
    return _Masks(ones, ones * 0xFFFFFF, ones * _LOOK, ones * _WIDTH, ones * _TAG)


def sized(kind: str) -> Any:
    """A new struct of the kind that begins with its own size."""
    made = ffi.new(kind + "*")
    made.size = ffi.sizeof(kind)
    return made


class View:
    """One render state over a terminal: what it saw of the viewport at the last `update`."""

    def __init__(self, terminal: Any) -> None:
        self._terminal = terminal
        self._state = ffi.new("GhosttyRenderState*")
        self._iterator = ffi.new("GhosttyRenderStateRowIterator*")
        self._cells = ffi.new("GhosttyRenderStateRowCells*")
        check(lib.ghostty_render_state_new(ffi.NULL, self._state), "render state")
        check(lib.ghostty_render_state_row_iterator_new(ffi.NULL, self._iterator), "row iterator")
        check(lib.ghostty_render_state_row_cells_new(ffi.NULL, self._cells), "row cells")
        self._selectable = False  # the cells object stands at the row being read
        self._styles: dict[bytes, Style] = {}
        # where the library puts its answers
        self._y, self._packed = ffi.new("uint16_t*"), ffi.new("GhosttyCellsView*")
        self._style = sized("GhosttyStyle")
        self._style_bytes = ffi.buffer(self._style)
        self._count, self._points = ffi.new("uint32_t*"), ffi.new("uint32_t[]", _LONGEST_CLUSTER)
        self._cursor = sized("GhosttyRenderStateCursor")
        self._point, self._place = ffi.new("GhosttyPointS*"), sized("GhosttyGridRef")
        self._uri_bytes, self._size = ffi.new("uint8_t[]", _LONGEST_LINK), ffi.new("size_t*")

    def close(self) -> None:
        lib.ghostty_render_state_row_cells_free(self._cells[0])
        lib.ghostty_render_state_row_iterator_free(self._iterator[0])
        lib.ghostty_render_state_free(self._state[0])

    def update(self) -> dict[int, Row]:
        """Look again; the rows that may have changed since the last look, the first one down first."""
        state, iterator = self._state[0], self._iterator
        check(lib.ghostty_render_state_update(state, self._terminal), "render state update")
        check(lib.ghostty_render_state_get(state, _ROWS, iterator), "render state rows")
        changed = {}
        while _next_dirty(iterator[0], self._y):
            y = self._y[0]
            changed[y] = self._row(y)
        check(lib.ghostty_render_state_clean(state), "render state clean")
        return changed

    def cursor(self) -> Cursor:
        """As of the last `update`."""
        seen = self._cursor
        check(lib.ghostty_render_state_get(self._state[0], _CURSOR, seen), "render state cursor")
        shape = _SHAPES[seen.visual_style]
        return Cursor(seen.viewport_x, seen.viewport_y, bool(seen.visible), shape, bool(seen.blinking))

    def wrapped(self, y: int) -> bool:
        row, value = ffi.new("GhosttyRow*"), ffi.new("bool*")
        check(lib.ghostty_grid_ref_row(self._at(0, y), row), "row")
        check(lib.ghostty_row_get(row[0], lib.GHOSTTY_ROW_DATA_WRAP, value), "row wrap")
        return bool(value[0])

    # ------------------------------------------------------------------------------------------------------------------

    def _row(self, y: int) -> Row:
        """The row the iterator stands at."""
        _row_get(self._iterator[0], _PACKED, self._packed)
        raw = ffi.buffer(self._packed.ptr, 8 * self._packed.len)[:].rstrip(b"\0")
        n = (len(raw) + 7) // 8
        if not n:
            return ()
        packed, mask = int.from_bytes(raw, "little"), _masks(n)
        text, looks = packed, packed & mask.look
        colours = packed >> 1 & mask.ones  # the cells without text: their content is part of how they look
        if colours:
            coloured = colours * (_TAG | _CONTENT)
            looks |= packed & coloured
            text &= ~coloured
        chars = (text >> 2 & mask.content).to_bytes(8 * n, "little").decode("utf-32-le", "replace")[::2]
        self._selectable = False
        cells: Sequence[str]
        if packed & mask.width or text & mask.ones:
            cells = self._odd_cells(chars, packed, mask)
        elif chars.isascii() and (chars := chars.replace("\0", " ")).isprintable():
            cells = chars
        else:
            cells = chars.translate(NARROW)
            if len(cells) != n:
                cells = [NARROW[ord(char)] for char in chars]
        return self._runs(y, cells, looks.to_bytes(8 * n, "little"))

    def _odd_cells(self, chars: str, packed: int, mask: _Masks) -> list[str]:
        """With wide characters or clusters: what each cell shows, nothing for the second half of a wide one."""
        size = 8 * len(chars)
        cells = [NARROW[ord(char)] for char in chars]
        for x, width in enumerate(((packed & mask.width) >> 42).to_bytes(size, "little")[::8]):
            if width == 1:
                cells[x] = WIDE[ord(chars[x])]
            elif width == 2:
                cells[x] = ""
        for x, tag in enumerate((packed & mask.tag).to_bytes(size, "little")[::8]):
            if tag == 1:
                base = cells[x][:1]
                cells[x] = base + marks(base, self._cluster(x)) + cells[x][1:]
        return cells

    def _runs(self, y: int, cells: Sequence[str], looks: bytes) -> Row:
        pieces: list[tuple[int, Style]] = []
        known: dict[int, Style] = {0: PLAIN}  # the numbers of styles hold for one row only
        for found in _RUNS.finditer(looks):
            start = found.start() // 8
            look = int.from_bytes(found[1], "little")
            style = known.get(look)
            if style is None:
                style = known[look] = self._style_at(start, look)
            if look & _LINK:
                pieces += [(x, style._replace(link=uri)) for x, uri in self._links(y, start, found.end() // 8)]
            else:
                pieces.append((start, style))
        return join(cells, pieces)

    def _style_at(self, x: int, look: int) -> Style:
        kind, content = look & _TAG, look >> 2 & 0xFFFFFF
        if kind == 2:
            return Style(bg=content & 0xFF)
        if kind == 3:
            return Style(bg=_rgb(content & 0xFF, content >> 8 & 0xFF, content >> 16))
        if not look & ~_LINK:
            return PLAIN
        _cell_get(self._select(x), _STYLE, self._style)
        packed = self._style_bytes[:]
        style = self._styles.get(packed)
        if style is None:
            if len(self._styles) >= _KEPT_STYLES:
                self._styles.clear()
            style = self._styles[packed] = _style(self._style)
        return style

    def _select(self, x: int) -> Any:
        if not self._selectable:
            _row_get(self._iterator[0], _CELLS, self._cells)
            self._selectable = True
        lib.ghostty_render_state_row_cells_select(self._cells[0], x)
        return self._cells[0]

    def _cluster(self, x: int) -> str:
        """What the cell holds after its first character; nothing of one that is absurdly long."""
        cells = self._select(x)
        _cell_get(cells, _CLUSTER_LENGTH, self._count)
        size = self._count[0]
        if not 1 < size <= _LONGEST_CLUSTER:
            return ""
        _cell_get(cells, _CLUSTER, self._points)
        return "".join(map(chr, self._points[1:size]))

    def _links(self, y: int, start: int, end: int) -> list[tuple[int, str]]:
        """(column, link) wherever another link begins, in cells that all have one."""
        pieces: list[tuple[int, str]] = []
        last = None
        for x in range(start, end):
            code = lib.ghostty_grid_ref_hyperlink_uri(self._at(x, y), self._uri_bytes, _LONGEST_LINK, self._size)
            uri = b"" if code else ffi.buffer(self._uri_bytes, self._size[0])[:]
            if uri != last:
                pieces.append((x, safe_link(uri.decode("ascii", "replace"))))
                last = uri
        return pieces

    def _at(self, x: int, y: int) -> Any:
        point = self._point
        point.tag, point.value.x, point.value.y = lib.GHOSTTY_POINT_TAG_VIEWPORT, x, y
        check(_grid_ref(self._terminal, point[0], self._place), "grid reference")
        return self._place


def _rgb(red: int, green: int, blue: int) -> int:
    return TRUE_COLOUR | red << 16 | green << 8 | blue


def _colour(colour: Any) -> int | None:
    if colour.tag == lib.GHOSTTY_STYLE_COLOR_PALETTE:
        return int(colour.value.palette)
    if colour.tag == lib.GHOSTTY_STYLE_COLOR_RGB:
        rgb = colour.value.rgb
        return _rgb(rgb.r, rgb.g, rgb.b)
    return None


def _style(style: Any) -> Style:
    return Style(
        _colour(style.fg_color),
        _colour(style.bg_color),
        bool(style.bold),
        bool(style.faint),
        bool(style.italic),
        int(style.underline),
        bool(style.strikethrough),
        bool(style.inverse),
        bool(style.blink),
        bool(style.invisible),
    )


_PROBED = "x\x1b[1;31my\x1b[0m\u6f22e\u0301\x1b]8;;https://q.d\x1b\\l\x1b]8;;\x1b\\\x1b[48;2;1;2;3m\x1b[K"


def probe() -> None:
    """ImportError when cells are not packed as this module takes for granted."""
    made = ffi.new("GhosttyTerminal*")
    check(lib.ghostty_terminal_new(ffi.NULL, made, 9, 1), "terminal")
    view = View(made[0])
    try:
        data = _PROBED.encode()
        lib.ghostty_terminal_vt_write(made[0], data, len(data))
        row = view.update()[0]
    finally:
        view.close()
        lib.ghostty_terminal_free(made[0])
    expected = (
        Run("x", PLAIN, 1),
        Run("y", Style(fg=1, bold=True), 1),
        Run("\u6f22e\u0301", PLAIN, 3),
        Run("l", Style(link="https://q.d"), 1),
        Run("   ", Style(bg=_rgb(1, 2, 3)), 3),
    )
    if row != expected:
        raise ImportError(f"this libghostty-vt packs its cells in another way: {row}")

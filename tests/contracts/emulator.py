"""What every emulator promises, on recordings of real programs and on hostile bytes.

class TestMine(EmulatorContract):
    def make(self, cols, rows, *, scrollback=1000): ...
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lite.terminal.emulator import MAX_COLS, MAX_ROWS, PLAIN, Emulator, Modes, Row, Style
from tests.terminal.recorded import COLS, ROWS, read, recordings

FORBIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\U000e0000-\U000e01ef]"
)
_some = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
_few = settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.differing_executors])

Screen = tuple[tuple[Row, ...], object, Modes, str]


def screen(emulator: Emulator) -> Screen:
    rows = tuple(emulator.row(y) for y in range(emulator.rows))
    return rows, emulator.cursor, emulator.modes, emulator.title


def lines(emulator: Emulator) -> list[str]:
    return [emulator.text(y) for y in range(emulator.rows)]


def sound(row: Row, cols: int) -> None:
    """What holds for every row, whatever was fed."""
    for run in row:
        assert run.text
        assert not FORBIDDEN.search(run.text), ascii(run.text)
        assert run.cells > 0
        assert run.style.link == "" or run.style.link.startswith(("http://", "https://"))
    assert sum(run.cells for run in row) <= cols
    assert all(left.style != right.style for left, right in pairwise(row))
    assert not row or row[-1].style != PLAIN or not re.search(r"[\x00-\u08ff] \Z", row[-1].text)


def check(emulator: Emulator) -> None:
    for y in range(emulator.rows):
        sound(emulator.row(y), emulator.cols)
    cursor = emulator.cursor
    assert 0 <= cursor.x < emulator.cols
    assert 0 <= cursor.y < emulator.rows
    assert not FORBIDDEN.search(emulator.title)
    for index in range(0, emulator.scrollback, max(emulator.scrollback // 5, 1)):
        sound(emulator.history_row(index), MAX_COLS)


pieces = st.one_of(
    st.binary(max_size=12),
    st.text(max_size=12).map(lambda text: text.encode("utf-8", "replace")),
    st.sampled_from(
        [
            b"\x1b[",
            b"\x1b]",
            b"\x1bP",
            b"\x1b_",
            b"\x1b\\",
            b"\x9b",
            b"\r\n",
            b"\t",
            b"\x08",
            b"\x1b[?1049h",
            b"\x1b[2J",
        ]
    ),
    st.builds(
        lambda body, final: b"\x1b[" + body.encode() + bytes([final]),
        st.text("0123456789;:?>=<! $", max_size=10),
        st.integers(0x40, 0x7E),
    ),
    st.sampled_from(
        ["漢字", "👩\u200d🚀", "👍🏽", "🇩🇪", "e\u0301", "हिन्दी", "\u202eevil", "\u200b", "﷽", "\u3164"]
    ).map(str.encode),
)
hostile = st.lists(pieces, max_size=30).map(b"".join)


class EmulatorContract:
    def make(self, cols: int, rows: int, *, scrollback: int = 1000) -> Emulator:
        raise NotImplementedError

    @pytest.fixture
    def emulator(self) -> Iterator[Emulator]:
        made = self.make(20, 5)
        yield made
        made.close()

    def fed(self, *chunks: bytes, cols: int = 20, rows: int = 5) -> Emulator:
        made = self.make(cols, rows)
        for chunk in chunks:
            made.feed(chunk)
        return made

    # chunk boundaries -------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("name", recordings())
    @_few
    @given(data=st.data())
    def test_a_recording_cut_anywhere_gives_the_same_screen(self, name: str, data: st.DataObject) -> None:
        recorded = read(name)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(recorded)), max_size=40)))
        whole = self.fed(recorded, cols=COLS, rows=ROWS)
        cut = self.fed(
            *(recorded[a:b] for a, b in zip([0, *cuts], [*cuts, len(recorded)], strict=True)), cols=COLS, rows=ROWS
        )
        assert screen(cut) == screen(whole)
        assert [cut.history_row(i) for i in range(cut.scrollback)] == [
            whole.history_row(i) for i in range(whole.scrollback)
        ]
        whole.close()
        cut.close()

    def test_cut_after_every_byte(self) -> None:
        data = "a\x1b[1;31mä漢\x1b[0m\x1b]0;títle\x07\x1b]8;;https://q.d/\x1b\\l\x1b]8;;\x1b\\\x1b[?2027;2004h👍🏽e\u0301\x1b[3;4Hz".encode()
        whole = screen(self.fed(data))
        for at in range(len(data) + 1):
            assert screen(self.fed(data[:at], data[at:])) == whole, at
        assert screen(self.fed(*(data[i : i + 1] for i in range(len(data))))) == whole

    @pytest.mark.parametrize("name", recordings())
    def test_dirty_rows_are_all_that_changed(self, name: str) -> None:
        recorded, emulator = read(name), self.make(COLS, ROWS)
        mirror: list[Row] = [()] * ROWS
        step = max(len(recorded) // 60, 1)
        for at in range(0, len(recorded), step):
            emulator.feed(recorded[at : at + step])
            for y in emulator.dirty():
                mirror[y] = emulator.row(y)
            assert mirror == [emulator.row(y) for y in range(ROWS)]
        check(emulator)
        emulator.close()

    # dirty rows -------------------------------------------------------------------------------------------------------

    def test_at_first_all_rows_are_dirty_then_those_written_to(self, emulator: Emulator) -> None:
        assert list(emulator.dirty()) == [0, 1, 2, 3, 4]
        assert list(emulator.dirty()) == []
        emulator.feed(b"\x1b[3;1Hx")
        assert emulator.text(2) == "x"
        assert list(emulator.dirty()) == [2], "asking for a row does not take it from the dirty ones"
        emulator.feed(b"\x1b[?25l\x1b[31m\x1b[5;2H")
        assert list(emulator.dirty()) == []

    @pytest.mark.parametrize("mark", ["\u0301", "\u0e31", "\U00010a01", "\u20dd"])
    def test_a_mark_that_comes_after_its_character_dirties_the_row(self, mark: str) -> None:
        encoded = mark.encode()
        for at in range(len(encoded)):
            made = self.fed(b"x\r\ny" + encoded[:at])
            made.dirty()
            made.feed(encoded[at:])
            assert list(made.dirty()) == [1]
            assert made.text(1) == f"y{mark}"
            made.close()

    def test_a_screen_that_scrolls_the_other_screen_and_a_new_size_dirty_what_they_move(
        self, emulator: Emulator
    ) -> None:
        emulator.feed(b"1\r\n2\r\n3\r\n4\r\n5")
        emulator.dirty()
        emulator.feed(b"\r\n6")
        assert list(emulator.dirty()) == [0, 1, 2, 3, 4]
        emulator.feed(b"\x1b[?1049h")
        assert list(emulator.dirty()) == [0, 1, 2, 3, 4]
        emulator.feed(b"\x1b[?1049l")
        assert list(emulator.dirty()) == [0, 1, 2, 3, 4]
        emulator.resize(21, 4)
        assert list(emulator.dirty()) == [0, 1, 2, 3]
        emulator.resize(21, 4)
        assert list(emulator.dirty()) == []

    # rows -------------------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("sgr", "style"),
        [
            ("31", Style(fg=1)),
            ("92", Style(fg=10)),
            ("38;5;200", Style(fg=200)),
            ("38;2;1;2;3", Style(fg=0x1010203)),
            ("48;2;255;0;9", Style(bg=0x1FF0009)),
            ("44", Style(bg=4)),
            ("105", Style(bg=13)),
            ("1", Style(bold=True)),
            ("2", Style(dim=True)),
            ("3", Style(italic=True)),
            ("4", Style(underline=1)),
            ("21", Style(underline=2)),
            ("4:3", Style(underline=3)),
            ("4:5", Style(underline=5)),
            ("5", Style(blink=True)),
            ("7", Style(reverse=True)),
            ("8", Style(hidden=True)),
            ("9", Style(strike=True)),
            ("1;4;31;44", Style(fg=1, bg=4, bold=True, underline=1)),
            ("1;31;22;39", PLAIN),
        ],
    )
    def test_styles(self, sgr: str, style: Style) -> None:
        made = self.fed(f"a\x1b[{sgr}mb\x1b[0mc".encode())
        assert made.text(0) == "abc"
        assert [run.style for run in made.row(0)] == ([PLAIN] if style == PLAIN else [PLAIN, style, PLAIN])

    def test_blanks_are_left_out_at_the_right_unless_they_show(self, emulator: Emulator) -> None:
        emulator.feed(b"a  \r\n\x1b[7mb  \x1b[0m  \r\n\x1b[43m\x1b[K")
        assert [(run.text, run.cells) for run in emulator.row(0)] == [("a", 1)]
        assert [(run.text, run.style) for run in emulator.row(1)] == [("b  ", Style(reverse=True))]
        assert [(run.text, run.style) for run in emulator.row(2)] == [(" " * 20, Style(bg=3))]
        assert emulator.row(3) == ()
        assert emulator.text(2) == ""

    def test_wide_characters_are_there_once_and_count_two(self, emulator: Emulator) -> None:
        emulator.feed("a漢b字".encode())
        assert [(run.text, run.cells) for run in emulator.row(0)] == [("a漢b字", 6)]
        assert emulator.cursor.x == 6
        emulator.feed(b"\r\x1b[2Cx")
        assert emulator.text(0) == "a xb字", "half of a wide character is none"

    def test_a_wide_character_never_hangs_over_the_edge(self) -> None:
        made = self.fed(b"abcd", "漢".encode(), cols=5)
        assert lines(made)[:2] == ["abcd", "漢"]
        assert self.fed("漢".encode(), cols=1, rows=1).text(0) in ("", "\ufffd")

    @pytest.mark.parametrize(
        ("fed", "shown", "columns"),
        [
            ("e\u0301", "e\u0301", 1),
            ("e" + 40 * "\u0301", "e" + 4 * "\u0301", 1),
            ("👍🏽", "👍  ", 4),
            ("🇩🇪", "D E ", 4),
            ("👩\u200d🚀", "👩🚀", 4),
            ("\u2764\ufe0f", "\u2764", 1),
            ("का", "का ", 2),
            ("a\u202eb\u200bc\u2066d", "abcd", 4),
            ("a\u3000b", "a  b", 4),
            ("\x1b[?2027h👩\u200d🚀", "👩🚀", 4),
        ],
    )
    def test_clusters_are_taken_apart_so_that_what_stands_right_of_them_stays(
        self, fed: str, shown: str, columns: int
    ) -> None:
        made = self.fed(f"{fed}|".encode())
        assert made.text(0) == f"{shown}|"
        assert sum(run.cells for run in made.row(0)) == columns + 1
        assert made.cursor.x == columns + 1

    def test_links_are_kept_when_they_lead_to_the_web(self, emulator: Emulator) -> None:
        link = "\x1b]8;id=1;{}\x1b\\{}\x1b]8;;\x1b\\"
        emulator.feed(
            (
                link.format("https://a.b/c", "one") + link.format("http://d", "two") + link.format("file:///x", "no")
            ).encode()
        )
        assert [(run.text, run.style.link) for run in emulator.row(0)] == [
            ("one", "https://a.b/c"),
            ("two", "http://d"),
            ("no", ""),
        ]

    def test_rows_outside_of_the_screen(self, emulator: Emulator) -> None:
        for y in (-1, 5):
            with pytest.raises(IndexError):
                emulator.row(y)
            with pytest.raises(IndexError):
                emulator.wrapped(y)
        with pytest.raises(IndexError):
            emulator.history_row(0)

    def test_a_row_says_that_it_goes_on(self, emulator: Emulator) -> None:
        emulator.feed(b"x" * 25 + b"\r\ny")
        assert [emulator.wrapped(y) for y in range(3)] == [True, False, False]

    # history ----------------------------------------------------------------------------------------------------------

    def test_what_scrolls_off_is_kept(self, emulator: Emulator) -> None:
        emulator.feed(b"".join(b"\x1b[3%dm%d\x1b[0m\r\n" % (n % 8, n) for n in range(100)))
        assert emulator.scrollback == 96
        assert [emulator.history_text(i) for i in range(96)] == [str(i) for i in range(96)]
        assert emulator.history_row(9) == self.fed(b"\x1b[31m9").row(0)
        assert lines(emulator) == ["96", "97", "98", "99", ""]
        emulator.dirty()
        emulator.history_row(3)
        assert list(emulator.dirty()) == [], "looking back changes nothing"
        emulator.feed(b"\r\n")
        assert emulator.history_text(96) == "96"

    def test_looking_back_again_after_more_came(self, emulator: Emulator) -> None:
        for n in range(40):
            emulator.feed(b"%d\r\n" % n)
            assert emulator.history_text(0) == "0" if n >= 4 else emulator.scrollback == 0
            assert list(emulator.dirty())

    def test_the_alternate_screen_has_no_history_and_leaves_the_other_alone(self, emulator: Emulator) -> None:
        emulator.feed(b"".join(b"%d\r\n" % n for n in range(10)) + b"\x1b[?1049h")
        assert emulator.scrollback == 0
        assert lines(emulator) == [""] * 5
        emulator.feed(b"".join(b"other\r\n" for _ in range(50)))
        assert emulator.scrollback == 0
        emulator.feed(b"\x1b[?1049l")
        assert emulator.scrollback == 6
        assert lines(emulator) == ["6", "7", "8", "9", ""]

    def test_history_is_bounded_and_can_be_off(self) -> None:
        made = self.make(20, 5, scrollback=10_000)
        made.feed(b"".join(b"%d\r\n" % n for n in range(30_000)))
        assert 9_000 <= made.scrollback <= 12_000
        assert made.history_text(made.scrollback - 1) == "29995"
        none = self.make(20, 5, scrollback=0)
        none.feed(b"x\r\n" * 50)
        assert none.scrollback == 0

    # sizes ------------------------------------------------------------------------------------------------------------

    def test_sizes_are_clamped(self) -> None:
        made = self.make(0, -3)
        assert (made.cols, made.rows) == (1, 1)
        made.resize(10**6, 10**6)
        assert (made.cols, made.rows) == (MAX_COLS, MAX_ROWS)
        made.close()

    def test_a_program_does_not_change_the_size(self, emulator: Emulator) -> None:
        emulator.feed(b"\x1b[?40h\x1b[?3h\x1b[8;50;132t\x1b[?3l\x1b[132$|\x1b[50*|\x1b[48t")
        emulator.feed(b"\x1b[H" + b"x" * 21)
        assert (emulator.cols, emulator.rows) == (20, 5)
        assert lines(emulator)[:2] == ["x" * 20, "x"]

    def test_a_narrower_screen_wraps_its_lines_anew(self, emulator: Emulator) -> None:
        if not emulator.capabilities.reflow:
            pytest.skip("does not reflow")
        emulator.feed(b"abcdefghij")
        emulator.resize(4, 5)
        assert lines(emulator)[:3] == ["abcd", "efgh", "ij"]
        emulator.resize(20, 5)
        assert lines(emulator)[0] == "abcdefghij"

    def test_a_wide_character_on_a_screen_made_too_narrow_for_it(self) -> None:
        made = self.fed("漢字\r\n".encode(), cols=2, rows=14)
        made.resize(1, 14)
        check(made)
        made.resize(5, 14)
        check(made)
        made.close()

    @_few
    @given(sizes=st.lists(st.tuples(st.integers(1, 300), st.integers(1, 120)), min_size=5, max_size=25), data=hostile)
    def test_a_storm_of_sizes(self, sizes: list[tuple[int, int]], data: bytes) -> None:
        made = self.make(1, 1)
        mirror: dict[int, Row] = {}
        for cols, rows in sizes:
            if (cols, rows) != (made.cols, made.rows):
                mirror = {}
            made.resize(cols, rows)
            made.feed(data + "漢字 and more text than fits\r\n".encode() * 3)
            assert (made.cols, made.rows) == (cols, rows)
            for y in made.dirty():
                mirror[y] = made.row(y)
            assert mirror == {y: made.row(y) for y in range(rows)}
            check(made)
        made.close()

    # hostile ----------------------------------------------------------------------------------------------------------

    @_some
    @given(data=hostile, cols=st.integers(1, 30), rows=st.integers(1, 8))
    def test_no_bytes_do_harm(self, data: bytes, cols: int, rows: int) -> None:
        made = self.make(cols, rows)
        mirror: list[Row] = [()] * rows
        for at in range(0, len(data), 7):
            made.feed(data[at : at + 7])
            for y in made.dirty():
                mirror[y] = made.row(y)
            assert mirror == [made.row(y) for y in range(rows)]
        assert (made.cols, made.rows) == (cols, rows)
        check(made)
        made.feed(b"\x18\x1b\\\x1bc\x1b[31mok")
        assert made.row(0) == self.fed(b"\x1b[31mok", cols=cols, rows=rows).row(0), (
            "a reset is a reset, whatever went before"
        )
        made.close()

    @pytest.mark.parametrize(
        "unit",
        [
            b"x",
            b"\x1b]0;",
            b"\x1b[1;",
            b"\x1bPq",
            b"\x1b_G",
            "e\u0301\u0301".encode(),
            b"\xff",
            "\u0301".encode(),
            b"\x1b[9999999b",
        ],
    )
    def test_ten_megabytes_without_a_line_end(self, unit: bytes) -> None:
        size = 10_000_000 if self.make(1, 1).capabilities.fast else 300_000
        made = self.make(80, 24)
        made.feed(unit * (size // len(unit)))
        check(made)
        made.feed(b"\x18\x1b\\\x1bcok")
        assert made.text(0) == "ok"
        made.close()

    @pytest.mark.parametrize(
        "sequence", [b"\x1b[" + b"9" * 6000 + b"m", b"\x1b[" + b"1;" * 6000 + b"H", b"\x1b]" + b"8" * 6000 + b"\x07"]
    )
    def test_absurd_numbers(self, sequence: bytes) -> None:
        made = self.fed(sequence + b"\x1b[0m\x1b[2;1Hok")
        assert made.text(1) == "ok"
        check(made)

    # modes ------------------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("on", "expected"),
        [
            ("?1049h", Modes(alternate=True)),
            ("?1h", Modes(application_cursor=True)),
            ("?2004h", Modes(bracketed_paste=True)),
            ("?9h", Modes(mouse="x10")),
            ("?1000h", Modes(mouse="normal")),
            ("?1000;1002h", Modes(mouse="button")),
            ("?1000;1002;1003;1006h", Modes(mouse="any", mouse_encoding="sgr")),
            ("?1005h", Modes(mouse_encoding="utf8")),
            ("?1015h", Modes(mouse_encoding="urxvt")),
            ("?1016h", Modes(mouse_encoding="sgr-pixels")),
            ("?1007l", Modes(alternate_scroll=False)),
            ("?1004h", Modes(focus_events=True)),
            ("?2026h", Modes(synchronized=True)),
            (">1u", Modes(kitty_flags=1)),
            (">5u", Modes(kitty_flags=5)),
            ("=3;1u", Modes(kitty_flags=3)),
            (">4;2m", Modes(modify_other_keys=True)),
            (">4;1m", Modes()),
            ("?5h", Modes(reverse_screen=True)),
        ],
    )
    def test_modes(self, on: str, expected: Modes) -> None:
        made = self.make(20, 5)
        first = made.modes
        assert first == Modes(alternate_scroll=True)
        made.feed(f"\x1b[{on}".encode())
        assert made.modes == replace(expected, alternate_scroll=on != "?1007l")
        made.feed(b"\x1bc")
        assert made.modes == first

    def test_keypad_and_kitty_flags_of_each_screen(self, emulator: Emulator) -> None:
        emulator.feed(b"\x1b=\x1b[>1u\x1b[?1049h")
        assert emulator.modes.application_keypad
        assert emulator.modes.kitty_flags == 0
        emulator.feed(b"\x1b[>9u")
        assert emulator.modes.kitty_flags == 9
        emulator.feed(b"\x1b[<u\x1b[?1049l\x1b>")
        assert emulator.modes == Modes(kitty_flags=1, alternate_scroll=True)

    def test_the_cursor(self, emulator: Emulator) -> None:
        assert tuple(emulator.cursor) == (0, 0, True, "block", False)
        emulator.feed(b"\x1b[3;7H\x1b[5 q\x1b[?25l")
        assert tuple(emulator.cursor) == (6, 2, False, "bar", True)
        emulator.feed(b"\x1b[4 q\x1b[?25h\x1b[1;1H" + b"x" * 20)
        assert tuple(emulator.cursor) == (19, 0, True, "underline", False)
        emulator.feed(b"\x1b[0 q")
        assert tuple(emulator.cursor) == (19, 0, True, "block", False)

    def test_the_title_is_one_harmless_line(self, emulator: Emulator) -> None:
        assert emulator.title == ""
        emulator.feed("\x1b]0;a \u202etitle\n\x1b\\".encode())
        emulator.feed(b"\x1b]2;" + b"long " * 200 + b"\x07")
        assert emulator.title == ("long " * 200)[:256].strip()
        emulator.feed("\x1b]2;✳ \u202ework\u200b\x07".encode())
        assert emulator.title == "✳ \ufffdwork\ufffd"

    def test_queries_are_swallowed(self, emulator: Emulator) -> None:
        emulator.feed(b"a\x1b[c\x1b[6n\x1b[?u\x1b[>q\x1b]11;?\x07\x1bP+q544e\x1b\\\x1b[?2026$p\x05b")
        assert lines(emulator) == ["ab", "", "", "", ""]

    def test_closing_twice(self) -> None:
        made = self.fed(b"x")
        made.history_row(0) if made.scrollback else None
        made.close()
        made.close()

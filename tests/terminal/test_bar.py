"""With a bar the program's screen is what it would be in a terminal of one row less, and the bar is always there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ptyprocess import PtyProcess

from lite.terminal import confined
from lite.terminal.bar import cells, fit, title
from lite.terminal.confined import Confined
from lite.terminal.passthrough import Passthrough
from tests.terminal.judge import COLS, ROWS, Judge, Screen, Window

BAR = "\x1b[7m fleet: 3 run, 1 waits (日本) "
SEEN = "fleet: 3 run, 1 waits (日本)"

CORPUS = {
    "lines": b"".join(b"%d\r\n" % number for number in range(1, 300)),
    "clear": b"text\x1b[H\x1b[2J\x1b[3J$ ",
    "far corner": b"\x1b[999;999Hx\x1b[2;2Hy\x1b[999;1f<\x1b[999d>",
    "far down": b"\x1b[999Ba\x1b[999Eb\x1b[999ec\n\n\nd\x1bDe\x1bEf",
    "region": b"\x1b[3;10r\x1b[10;1Ha\r\nb\r\nc\x1b[2S\x1b[3T\x1b[r\x1b[29;1Hend\r\nmore",
    "region out of range": b"\x1b[5;99r\x1b[5;1Htop\x1bM\x1bM\x1b[99;1Hlow\r\nlower\x1b[9;3r\x1b[L\x1b[;rz",
    "origin": b"\x1b[4;8r\x1b[?6h\x1b[99;5Hlow\x1b[1;1Htop\x1b[99dlow\x1b[?6lhome",
    "origin to the end": b"\x1b[4r\x1b[?6h\x1b[99;5Hlow\r\nlower\r\nlowest",
    "saved": b"\x1b[5;5H\x1b7\x1b[31m\x1b[20;20Hfar\x1b8near\x1b[H\x1b[Jx\x1b8again",
    "saved as sco": b"\x1b[5;5H\x1b[s\x1b[20;20Hfar\x1b[unear",
    "restored without a save": b"abc\r\n\x1b[31mdef\x1b8home",
    "aligned": b"\x1b#8\x1b[999;1H\nafter",
    "reset": b"\x1b[?1049h\x1b[3;5r\x1b[?6h\x1bcafter\x1b[999;1H\nlast",
    "soft reset with origin": b"\x1b[5;9r\x1b[?6h\x1b[!p\x1b[2Jx",
    "soft reset": b"\x1b[5;9r\x1b[12;12H\x1b[!p",
    "alternate": b"main\r\n\x1b[?1049h\x1b[2J\x1b[999;1Hfull\x1b[2;9r\x1b[9;1H\na\x1b[?1049lback",
    "alternate, older": b"main\x1b7\x1b[?47h\x1b[H\x1b[2Jfull\x1b[2J\x1b[?47l\x1b8back",
    "wrapping": b"x" * 100 + b"y" * 2900 + b"z" * 50,
    "about to wrap": b"\x1b[29;1H" + b"w" * 100,
    "inserting": b"hello\x1b[4h\x1b[5;1Hworld\x1b[5;1H>>\x1b[4lx",
    "no wrap": b"\x1b[?7l" + b"n" * 200 + b"\r\nnext",
    "drawing set": b"\x1b(0lqqqk\x1b[2Jx\x1b[5;5Hmqqj",
    "lines in and out": b"".join(b"\x1b[%d;1Hrow %d" % (n, n) for n in range(1, 30)) + b"\x1b[3;1H\x1b[9L\x1b[20M",
    "colours": b"\x1b[31;44mred\x1b[2J\x1b[10;10H\x1b[K\x1b[1mbold\x1b[5;1H\x1b[J",
    "link": b"\x1b]8;;https://example.org\x1b\\a link\x1b[2J goes on\x1b]8;;\x1b\\",
    "erased above": b"".join(b"\x1b[%d;1Hrow" % n for n in range(1, 30)) + b"\x1b[9;2H\x1b[1J",
    "left margin": b"\x1b[?69h\x1b[5;9s\x1b[?69lx",
    "upwards": b"\x1b[H\x1bM\x1bMx\x1b[99Ay\x1b[99Fz",
}


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Window, Window]]:
    """(with a bar, one row less and without)"""
    with Judge(tmp_path_factory.mktemp("judge")) as judge:
        pair = Window(judge, "barred", COLS, ROWS), Window(judge, "plain", COLS, ROWS - 1)
        yield pair
        for window in pair:
            window.close()


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(confined, "time", clock)
    return clock


def painted(chunks: list[bytes], *, bar: str = BAR) -> bytes:
    """What a terminal is told; the bar changes between the chunks, so that it is painted wherever it may be."""
    through = Confined()
    out = through.start(COLS, ROWS)
    for at, chunk in enumerate(chunks):
        through.show(f"{bar}{at}")
        out += through.flush() + through.feed(chunk) + through.flush()
    through.show(bar)
    return out + through.flush()


def screens(windows: tuple[Window, Window], chunks: list[bytes]) -> tuple[Screen, Screen]:
    barred, plain = windows
    barred.play(b"\x1bc" + painted(chunks))
    plain.play(b"\x1bc" + Passthrough().feed(b"".join(chunks)))
    return barred.screen(), plain.screen()


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1 << 20, 7])
@pytest.mark.parametrize("name", CORPUS)
def test_a_program_s_screen_is_that_of_a_terminal_with_one_row_less(
    windows: tuple[Window, Window], name: str, size: int
) -> None:
    barred, plain = screens(windows, cut(CORPUS[name], size))
    assert barred.lines[:-1] == plain.lines
    assert barred.cursor == plain.cursor
    if "saved" not in name and "wrap" not in name and "older" not in name:
        assert SEEN in barred.last


def record(argv: list[str], keys: bytes, ready: bytes, directory: Path) -> bytes:
    """What a program prints in a terminal of the size that the bar leaves."""
    if shutil.which(argv[0]) is None and not os.environ.get("CI"):
        pytest.skip(f"{argv[0]} is not installed")
    env = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "HOME": str(directory)}
    program = PtyProcess.spawn(argv, dimensions=(ROWS - 1, COLS), env=env, cwd=str(directory))
    out, typed = b"", False
    try:
        while True:
            if ready in out and not typed:
                program.write(keys)
                typed = True
            out += program.read(65536)
    except EOFError:
        return out
    finally:
        program.close(force=True)


@pytest.mark.parametrize(
    ("argv", "keys", "ready"),
    [
        (["vim", "-u", "NONE", "-i", "NONE", "-Nn", "text"], b"30Gdd:sp\r\x04\x04ihello\x1bG:q!\r:q!\r", b"row 3"),
        (["less", "text"], b"  \x04kkG?row 7\rgq", b"row 3"),
        (["less", "-X", "text"], b"  \x04kkG?row 7\rgq", b"row 3"),
        (["htop", "-d", "1"], b"jjjtq", b"Quit"),
        (["sh", "-c", "seq 1 1000; clear; echo here; tput cup 999 999; printf x; tput csr 3 9; seq 1 20"], b"", b""),
    ],
    ids=["vim", "less", "less -X", "htop", "sh"],
)
def test_real_programs_at_several_moments(
    windows: tuple[Window, Window], tmp_path: Path, argv: list[str], keys: bytes, ready: bytes
) -> None:
    (tmp_path / "text").write_text("".join(f"row {number}\twith text\n" for number in range(200)))
    said = record(argv, keys, ready, tmp_path)
    assert len(said) > 1000
    for part in range(1, 9):
        barred, plain = screens(windows, cut(said[: len(said) * part // 8], 701))
        assert barred.lines[:-1] == plain.lines
        assert barred.cursor == plain.cursor


numbers = st.sampled_from(["", "0", "1", "2", "5", "28", "29", "30", "31", "999", "99999999999"])
hostile = st.one_of(
    st.tuples(st.lists(numbers, max_size=4), st.sampled_from("ABCDEFGHJKLMPSTXdefr@`aehlsu")).map(
        lambda made: f"\x1b[{';'.join(made[0])}{made[1]}".encode()
    ),
    st.tuples(
        st.sampled_from(["6", "7", "47", "1047", "1049", "1048", "2026", "69", "25", "6;1049"]), st.sampled_from("hl")
    ).map(lambda made: f"\x1b[?{made[0]}{made[1]}".encode()),
    st.sampled_from([b"\x1b7", b"\x1b8", b"\x1bc", b"\x1b#8", b"\x1bM", b"\x1bD", b"\x1bE", b"\x1b[!p", b"\x1b(0"]),
    st.sampled_from([b"\r\n" * 40, b"\n" * 40, b"x" * 250, b"\x1b[4h", b"\t", "日本".encode() * 30, b"\x1b[10;20r"]),
    st.binary(max_size=5),
)


places = st.sampled_from(["", "1", "2", "5", "28", "29", "30", "31", "999"])
drawing = st.one_of(
    st.tuples(places, places, st.sampled_from("Hf")).map(lambda made: f"\x1b[{made[0]};{made[1]}{made[2]}".encode()),
    st.tuples(st.sampled_from(["", "1", "2", "5", "40"]), st.sampled_from("ABCDEFGJKLMPSTXd@")).map(
        lambda made: f"\x1b[{made[0]}{made[1]}".encode()
    ),
    st.sampled_from(
        [
            b"\r\n", b"\n" * 40, b"\r", b"\t", b"\x08", b"word ", b"x" * 250, b"\x1b[4h", b"\x1b[4l", b"\x1b[31;44m",
            b"\x1b[m", b"\x1bM", b"\x1bD", b"\x1bE", b"\x1bc", b"\x1b#8", b"\x1b[?7l", b"\x1b[?7h", b"\x1b[?25l",
            b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?1047h", b"\x1b[?47l", b"\x1b(0", b"\x1b(B", "日本".encode() * 30,
            b"\x1b7", b"\x1b8", b"\x1b[s", b"\x1b[u", b"\x1b[4;12r\x1b[12;1Ha\r\nb\x1bM\x1b[r", b"\x1b[;99r",
            b"\x1b[5;9r\x1b[?6h\x1b[99;1Hlow\r\n\x1b[?6l\x1b[r", b"\x1b[?2026hx\x1b[H\x1b[2J\x1b[?2026l",
        ]
    ),
)  # fmt: skip


def switching(pieces: list[bytes]) -> list[bytes]:
    """Without the switches to the screen that is shown already: there terminals do as they please."""
    kept, alternate = [], False
    for piece in pieces:
        if piece.startswith((b"\x1b[?104", b"\x1b[?47")):
            if alternate == (piece[-1:] == b"h"):
                continue
            alternate = not alternate
        alternate = alternate and piece != b"\x1bc"
        kept.append(piece)
    return kept


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(drawing, max_size=25))
def test_whatever_it_draws_the_program_s_screen_is_the_same(
    windows: tuple[Window, Window], pieces: list[bytes]
) -> None:
    barred, plain = screens(windows, switching(pieces))
    assert barred.lines[:-1] == plain.lines
    assert barred.cursor == plain.cursor


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(hostile, max_size=30))
def test_no_program_keeps_the_bar_away_for_good(
    windows: tuple[Window, Window], clock: Clock, pieces: list[bytes]
) -> None:
    through = Confined()
    out = through.start(COLS, ROWS)
    through.show(BAR)
    for piece in pieces:
        out += through.feed(piece) + through.flush()
    wait = through.wait()
    if wait is not None:
        assert wait <= confined._SAVED
        clock.now += wait + 0.001
        out += through.flush()
    assert through.wait() is None
    windows[0].play(b"\x1bc" + out)
    assert SEEN in windows[0].screen().last
    windows[0].play(through.reset() + b"\r\n" * 40)
    assert SEEN not in "".join(windows[0].screen().lines)


@pytest.mark.parametrize(
    ("held", "seconds", "freed"),
    [
        (b"\x1b[?2026h", 1.0, b"\x1b[?2026l"),
        (b"\x1b7", 60.0, b"\x1b8"),
        (b"\x1b7a\x1b8", 10.0, b"\x1b7"),
        (b"\x1b[1;95H123456", 0.5, b"\r"),
    ],
)
def test_a_painting_waits_where_it_would_hurt(clock: Clock, held: bytes, seconds: float, freed: bytes) -> None:
    def begun() -> Confined:
        through = Confined()
        through.start(100, 30)
        through.feed(held)
        through.show("news")
        return through

    through = begun()
    assert through.flush() == b""
    assert through.wait() == pytest.approx(seconds)
    clock.now += seconds
    assert b"news" in through.flush()
    assert through.wait() is None
    through = begun()
    assert b"news" in through.feed(freed) + through.flush()


def test_a_small_terminal_has_no_bar_and_changes_nothing() -> None:
    through = Confined()
    assert through.start(100, 7) == b""
    through.show("news")
    assert through.flush() == b""
    for sample in CORPUS.values():
        assert through.feed(sample) == Passthrough().feed(sample)


def test_the_bar_comes_and_goes_with_the_size(windows: tuple[Window, Window]) -> None:
    through = Confined()
    through.show(BAR)
    out = through.start(COLS, ROWS - 5) + through.flush() + through.feed(b"\x1b[25;1Habc\x1b[31m")
    out += through.resize(COLS, ROWS) + through.flush() + through.feed(b"def\x1b[99;1Hlow\r\nlower")
    windows[0].play(b"\x1bc" + out)
    screen = windows[0].screen()
    assert SEEN in screen.last
    assert "".join(screen.lines).count("fleet") == 1
    assert screen.cursor == (5, ROWS - 2)
    windows[0].play(through.resize(COLS, 5) + through.flush())
    assert "fleet" not in "".join(windows[0].screen().lines)


@pytest.mark.parametrize(
    ("text", "cols", "fitted"),
    [
        ("plain", 80, ("plain", 5)),
        ("plain", 3, ("pla", 3)),
        ("日本", 3, ("日", 2)),
        ("e\u0301a", 1, ("e\u0301", 1)),
        ("\x1b[1mbold\x1b[0m", 2, ("\x1b[1mbo", 2)),
        ("a\nb\tc\rd", 9, ("a b c d", 7)),
        ("a\x1b[2Jb\x1b]0;t\x07c\x07\x1b[5;5Hd", 9, ("abcd", 4)),
        ("", 0, ("", 0)),
    ],
)
def test_a_bar_is_text_and_colours_cut_to_the_width(text: str, cols: int, fitted: tuple[str, int]) -> None:
    assert fit(text, cols) == fitted


def test_widths_and_titles() -> None:
    assert [cells(char) for char in "a日é\u0301👍\u200d"] == [1, 2, 1, 0, 2, 0]
    assert title("who\x07 waits\x1b\\\n" + "x" * 900) == b"\x1b]2;" + ("who waits " + "x" * 190).encode() + b"\x1b\\"


def test_the_program_s_titles_are_dropped_where_the_title_is_ours() -> None:
    for make in (Passthrough, Confined):
        through: Passthrough = make(own_title=True)
        assert through.feed(b"a\x1b]0;t\x07b\x1b]2;t\x1b\\c\x1b]8;;https://x.y\x07") == b"abc\x1b]8;;https://x.y\x1b\\"

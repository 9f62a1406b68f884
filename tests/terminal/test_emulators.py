"""Both emulators keep the contract, agree with one another and with tmux; and which of them serves."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lite.errors import UsageError
from lite.terminal.bittty_screen import BitttyEmulator
from lite.terminal.emulator import Emulator
from lite.terminal.emulators import chosen, make_emulator, preload
from tests.contracts.emulator import EmulatorContract, lines, screen
from tests.support.programs import needs
from tests.terminal.recorded import COLS, ROWS, read, recordings

ghostty = pytest.importorskip("lite.terminal.ghostty", reason="no build of Ghostty's core for this machine")


class TestGhostty(EmulatorContract):
    def make(self, cols: int, rows: int, *, scrollback: int = 1000) -> Emulator:
        return ghostty.GhosttyEmulator(cols, rows, scrollback=scrollback)


class TestBittty(EmulatorContract):
    def make(self, cols: int, rows: int, *, scrollback: int = 1000) -> Emulator:
        return BitttyEmulator(cols, rows, scrollback=scrollback)


@pytest.mark.parametrize("name", recordings())
def test_the_two_show_the_same_all_along_a_recording(name: str) -> None:
    recorded = read(name)
    one, other = ghostty.GhosttyEmulator(COLS, ROWS), BitttyEmulator(COLS, ROWS)
    step = max(len(recorded) // 100, 1)
    for at in range(0, len(recorded), step):
        one.feed(recorded[at : at + step])
        other.feed(recorded[at : at + step])
        assert screen(other) == screen(one), f"after {at + step} bytes"
    assert other.scrollback == one.scrollback
    assert [other.history_row(i) for i in range(other.scrollback)] == [
        one.history_row(i) for i in range(one.scrollback)
    ]
    one.close()


@needs("tmux")
@pytest.mark.parametrize("name", recordings())
def test_tmux_shows_the_same_in_the_end(name: str, tmp_path: Path) -> None:
    recorded = tmp_path / "recorded"
    recorded.write_bytes(read(name))
    seen = _in_tmux(recorded, tmp_path / "socket")
    emulator = ghostty.GhosttyEmulator(COLS, ROWS)
    emulator.feed(read(name))
    assert seen == lines(emulator)
    emulator.close()


def _in_tmux(recorded: Path, socket: Path) -> list[str]:
    def tmux(*args: str) -> str:
        command = ["tmux", "-S", str(socket), "-f", "/dev/null", *args]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout

    said = "all of it is here"
    script = f"stty raw -echo; cat {recorded}; printf '\\033\\\\\\033]2;{said}\\007'; exec cat"
    tmux("new-session", "-d", "-x", str(COLS), "-y", str(ROWS), script, ";", "set", "-g", "status", "off")
    try:
        tmux("resize-window", "-x", str(COLS), "-y", str(ROWS))
        deadline = time.monotonic() + 20
        while said not in tmux("display-message", "-p", "#{pane_title}"):
            assert time.monotonic() < deadline, "tmux did not read it all"
            threading.Event().wait(0.02)
        captured = tmux("capture-pane", "-p").split("\n")[:ROWS]
    finally:
        tmux("kill-server")
    return [line.replace("\xa0", " ").rstrip() for line in captured]


def test_ghostty_is_preferred_and_either_can_be_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QD_EMULATOR", raising=False)
    assert chosen() == "ghostty"
    for name in ("ghostty", "bittty"):
        monkeypatch.setenv("QD_EMULATOR", name)
        emulator = make_emulator(10, 3, scrollback=5)
        assert name in repr(emulator).lower()
        assert (emulator.cols, emulator.rows) == (10, 3)
        emulator.close()
    monkeypatch.setenv("QD_EMULATOR", "pyte")
    with pytest.raises(UsageError, match="no such emulator: pyte"):
        make_emulator(10, 3)


@pytest.mark.parametrize("error", [ImportError("no build"), OSError("wrong machine")])
def test_without_a_build_of_ghostty_bittty_serves(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    class Refusing:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name == "lite.terminal.ghostty":
                raise error

    monkeypatch.delitem(sys.modules, "lite.terminal.ghostty")
    monkeypatch.delattr("lite.terminal.ghostty")
    monkeypatch.setattr(sys, "meta_path", [Refusing(), *sys.meta_path])
    monkeypatch.delenv("QD_EMULATOR", raising=False)
    assert isinstance(make_emulator(10, 3), BitttyEmulator)
    monkeypatch.setenv("QD_EMULATOR", "ghostty")
    with pytest.raises(UsageError, match="cannot be loaded"):
        make_emulator(10, 3)


def test_preloading_imports_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QD_EMULATOR", "nonsense")
    preload().join(20)  # no error of its own
    monkeypatch.setenv("QD_EMULATOR", "bittty")
    thread = preload()
    thread.join(20)
    assert not thread.is_alive()


def test_the_port_is_light() -> None:
    code = (
        "import sys, lite.terminal.emulator, lite.terminal.emulators, lite.terminal.input;"
        "print([m for m in ('pyghostty', 'cffi', 'bittty', 'wcwidth', 'textual') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=30)
    assert out.stdout.strip() == "[]"


def test_recordings_are_small_and_name_no_machine() -> None:
    folder = Path(__file__).parent / "recordings"
    assert len(recordings()) >= 9
    for path in folder.glob("*.raw.gz"):
        assert path.stat().st_size < 150_000
        recorded = gzip.decompress(path.read_bytes())
        assert str(folder.parents[2]).encode() not in recorded
        assert b"/home/" not in recorded

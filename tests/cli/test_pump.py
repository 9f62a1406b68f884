"""Attach is transparent both ways, and the user's terminal is as before whatever ends it."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import pytest

from lite.terminal import packets
from tests.cli.terminals import attachment

ALL_BYTES = bytes(byte for byte in range(256) if byte != 0x1D)
KEYS = (
    b"\x1b[A\x1bOA\x1b[1;5A\x1b[1;3D\x1b[3~\x1b[200~pasted\r\n\x1d\x1b[201~\x1b\r\x1b[13;2u\x1b[27;2;13~\x08\x7f\x1b\x7f"
    b"\x1b[I\x1b[O\x1b\x1b\x1b[<0;10;20M\x1b[<0;10;20m\x1b[M !!\x1bOP\x1b[15~\x1b[Z\x00\x03\x04\x11\x13\x1a\x1c"
    + "é日👍".encode()
)


def test_the_hello_tells_role_place_and_size_and_every_byte_typed_arrives(tmp_path: Path) -> None:
    with attachment(tmp_path) as (holder, terminal):
        hello = holder.accept()
        assert hello == (packets.PROTOCOL, packets.CONTROL, 0, packets.SAFE_MARK, 90, 30)
        holder.say(packets.output(0, packets.OUT, b"hello"))
        terminal.until(b"hello")
        for data in (ALL_BYTES, KEYS):
            terminal.type(data)
            assert holder.typed(len(data)) == data
        terminal.type(b"\x1d")
        assert terminal.report() == {"how": "detached", "text": "", "signum": 0, "restored": True}


def test_both_streams_are_shown_without_queries_and_gaps_are_told(tmp_path: Path) -> None:
    with attachment(tmp_path) as (holder, terminal):
        holder.accept()
        holder.say(packets.gap(0, 7) + packets.output(7, packets.OUT, b"\x1b[31mo\x1b[6nut\x1b[0m"))
        holder.say(
            packets.output(20, packets.RESIZED, b"\0\0\0\0") + packets.output(24, packets.ERR, b"err\x1b]52;c;?\x07.")
        )
        shown = terminal.until(b"err.")
        assert b"\x1b[31mout\x1b[0m" in shown
        assert b"7 bytes are no longer kept" in shown
        holder.say(packets.encode(packets.EXIT, b'{"exit_code": 3}'))
        report = terminal.report()
        assert (report["how"], report["text"], report["restored"]) == ("ended", '{"exit_code": 3}', True)


def test_a_new_size_of_the_terminal_reaches_the_session(tmp_path: Path) -> None:
    with attachment(tmp_path) as (holder, terminal):
        holder.accept()
        holder.say(packets.output(0, packets.OUT, b"up"))
        terminal.until(b"up")
        terminal.resize(101, 33)
        kind, payload = holder.packet()
        assert (kind, packets.parse_resize(payload)) == (packets.RESIZE, (101, 33))


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_leaves_the_terminal_as_it_was(tmp_path: Path, signum: signal.Signals) -> None:
    with attachment(tmp_path) as (holder, terminal):
        holder.accept()
        holder.say(packets.output(0, packets.OUT, b"\x1b[?1049h\x1b[?1000h\x1b[>1ufull"))
        terminal.until(b"full")
        terminal.kill(signum)
        report = terminal.report()
        assert (report["how"], report["signum"], report["restored"]) == ("signal", int(signum), True)
        reset = terminal.shown[terminal.shown.index(b"full") :]
        for undone in (b"\x1b[?1049l", b"\x1b[?1000l", b"\x1b[<1u", b"\x1b[?25h"):
            assert undone in reset


@pytest.mark.parametrize(
    ("how", "says", "ended"),
    [
        ("crash", packets.output(0, packets.OUT, b"x"), "crashed"),
        ("", packets.encode(packets.REFUSED, b"fenced off"), "refused"),
        ("", b"", "lost"),
    ],
)
def test_faults_leave_the_terminal_as_it_was(tmp_path: Path, how: str, says: bytes, ended: str) -> None:
    with attachment(tmp_path, how) as (holder, terminal):
        holder.accept()
        if says:
            holder.say(says)
        else:
            holder.close()
        report = terminal.report()
        assert (report["how"], report["restored"]) == (ended, True)
        assert b"\x1b[?25h" in terminal.shown


def test_a_watcher_sends_no_keys_and_no_size(tmp_path: Path) -> None:
    with attachment(tmp_path, "watch") as (holder, terminal):
        assert holder.accept() == (packets.PROTOCOL, packets.WATCH, 0, packets.SAFE_MARK, 0, 0)
        holder.say(packets.output(0, packets.OUT, b"seen"))
        terminal.until(b"seen")
        terminal.type(b"rm -rf /\r")
        terminal.resize(100, 40)
        terminal.type(b"\x03")
        assert terminal.report()["how"] == "detached"
        assert holder.peer is not None
        assert holder.peer.recv(100) == b""


def test_in_a_thread_with_a_bar_it_is_told_from_outside(tmp_path: Path) -> None:
    with attachment(tmp_path, "bar") as (holder, terminal):
        assert holder.accept()[4:] == (90, 29)
        start = terminal.until(b"one waits in 90")
        assert b"\x1b[1;29r" in start
        assert b"\x1b[22;2t" in terminal.until(b"\x1b]2;one waits\x1b\\")
        holder.say(packets.output(0, packets.OUT, b"\x1b[?1049h\x1b[?1000h\x1b]0;mine\x07\x1b[99;1Hfull"))
        assert b"mine" not in terminal.until(b"full")
        terminal.kill(signal.SIGUSR1)
        shown = terminal.until(b"\x1b]2;two wait\x1b\\")
        assert b"\x1b[30;1H\x1b[m\x1b[2Ktwo wait in 90" in shown
        terminal.resize(70, 20)
        kind, payload = holder.packet()
        assert (kind, packets.parse_resize(payload)) == (packets.RESIZE, (70, 19))
        terminal.until(b"\x1b[20;1H\x1b[m\x1b[2Ktwo wait in 70")
        terminal.type(b"keys")
        assert holder.typed(4) == b"keys"
        terminal.resize(70, 7)
        kind, payload = holder.packet()
        assert (kind, packets.parse_resize(payload)) == (packets.RESIZE, (70, 7))
        terminal.kill(signal.SIGTERM)
        report = terminal.report()
        assert report == {"how": "signal", "text": "", "signum": int(signal.SIGTERM), "restored": True}
        reset = terminal.shown[terminal.shown.index(b"full") :]
        for undone in (b"\x1b[?1049l", b"\x1b[?1000l", b"\x1b[?25h", b"\x1b[r", b"\x1b[23;2t"):
            assert undone in reset


def test_a_terminal_that_takes_nothing_does_not_keep_a_thread_from_being_stopped(tmp_path: Path) -> None:
    with attachment(tmp_path, "bar") as (holder, terminal):
        holder.accept()
        terminal.until(b"one waits")
        assert holder.peer is not None
        holder.peer.settimeout(0.5)
        with contextlib.suppress(TimeoutError):  # nobody reads the terminal: in the end all buffers are full
            while True:
                holder.say(packets.output(0, packets.OUT, b"x" * 60000))
        terminal.kill(signal.SIGTERM)
        report = terminal.report()
        assert (report["how"], report["signum"], report["restored"]) == ("signal", int(signal.SIGTERM), True)

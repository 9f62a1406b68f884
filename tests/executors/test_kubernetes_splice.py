"""A pod's output out of log and attach stream: nothing missing and nothing twice, wherever the connection was cut."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lite.executors.kubernetes.bridge_splice import Normal, Splice, cut_normal, normal
from tests.support.kube.crilog import LogWriter

ENDS = re.compile(rb"\r+\n")


def plain(data: bytes) -> bytes:
    return ENDS.sub(b"\n", data)


class World:
    """A container with its log as containerd keeps it, one attach stream at a time, and a `Splice` fed from both."""

    def __init__(self, *, terminal: bool = True) -> None:
        self.splice = Splice(terminal=terminal)
        self.splice.begin()
        self.printed = self.out = self.line = b""
        self.asked, self.connected = True, True
        self._log = LogWriter(Path("/dev/null"), lambda: "")

    def write(self, data: bytes) -> None:
        self.printed += data
        self._log.feed("stdout", data)
        if self.connected:
            self.line += data

    def deliver(self, count: int) -> None:
        data, self.line = self.line[:count], self.line[count:]
        if data:
            self.out += self.splice.attached(data)

    def cut(self) -> None:
        self.line, self.asked, self.connected = b"", False, False
        self.splice.cut()

    def ask(self) -> None:
        """Read the log, then ask for a new attach stream."""
        if not self.asked:
            self.read()
            self.splice.attach()
            self.asked = True

    def connect(self) -> None:
        self.connected = self.connected or self.asked

    def read(self, pieces: int = 7, meanwhile: bytes = b"") -> None:
        """`meanwhile` is printed, and arrives, while the log is on its way."""
        held, text = self.splice.held, b"".join(record.shown for record in self._log.records)
        self.splice.begin_log()
        if meanwhile:
            self.write(meanwhile)
            self.deliver(len(self.line))
        for at in range(0, len(text), pieces):
            self.out += self.splice.log(text[at : at + pieces])
        self.out += self.splice.end_log(held)

    def read_slowly(self, meanwhile: bytes) -> None:
        self.read(meanwhile=meanwhile)

    def finish(self) -> None:
        self._log.end("stdout")
        self.deliver(len(self.line))
        self.cut()
        self.read()
        self._log.close()


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.finish()


# repetitive on purpose: a line that comes again and again is what an alignment can be wrong about
WORDS = st.sampled_from([b"a", b"ab", b"\r\n", b"a\r\n", b"a\r\na\r\n", b"b\r\n", b"\x1b[K", b"y\r\n" * 3])
WILD = st.one_of(WORDS, st.sampled_from([b"\n", b"\r", b"\r\r\n", b"a\n", b"\n\n"]))


def steps(words: st.SearchStrategy[bytes]) -> st.SearchStrategy[list[tuple[str, object]]]:
    step = st.one_of(
        st.tuples(st.sampled_from(["write", "read_slowly"]), words),
        st.tuples(st.just("deliver"), st.integers(1, 6)),
        st.tuples(st.sampled_from(["cut", "ask", "connect", "read"]), st.none()),
    )
    return st.lists(step, max_size=60)


def run(plan: list[tuple[str, object]], *, terminal: bool) -> World:
    world = World(terminal=terminal)
    for name, argument in plan:
        getattr(world, name)(*([argument] if argument is not None else []))
    world.write(b"end")
    world.finish()
    return world


@settings(max_examples=400, deadline=None)
@given(steps(WORDS))
@example(
    [("write", b"a\r\n"), ("cut", None), ("ask", None), ("write", b"a\r\n"), ("connect", None), ("write", b"a\r\n")]
)
def test_a_terminal_s_output_is_whole_and_exact(plan: list[tuple[str, object]]) -> None:
    world = run(plan, terminal=True)
    assert world.out == world.printed


@settings(max_examples=400, deadline=None)
@given(steps(WILD))
def test_whatever_the_line_ends_nothing_else_is_lost_or_repeated(plan: list[tuple[str, object]]) -> None:
    world = run(plan, terminal=True)
    assert plain(world.out) == plain(world.printed)


@settings(max_examples=200, deadline=None)
@given(steps(st.sampled_from([b'{"a":1}\n', b"{}\n", b"{", b"}\n", b"x" * 17_000])))
def test_pipes_keep_their_newlines(plan: list[tuple[str, object]]) -> None:
    world = run(plan, terminal=False)
    assert world.out == world.printed


def test_it_goes_live_as_soon_as_one_line_tells_the_place(world: World) -> None:
    world.write(b"one\r\ntwo\r\n")
    world.deliver(3)
    world.cut()
    world.ask()
    world.write(b"missed\r\n")
    world.connect()
    world.write(b"three\r\nfo")
    world.deliver(100)
    assert not world.splice.live
    world.read()
    assert world.splice.live
    assert world.out == b"one\r\ntwo\r\nmissed\r\nthree\r\nfo"
    world.write(b"ur")
    world.deliver(100)
    assert world.out.endswith(b"four")


def test_what_fits_in_two_places_is_not_taken_for_one(world: World) -> None:
    world.cut()
    world.ask()
    world.write(b"y\r\n")  # missed
    world.connect()
    world.write(b"y\r\n")
    world.deliver(100)
    world.read()
    assert not world.splice.live
    assert world.out == b"y\r\ny\r\n"  # out of the log all the same
    world.write(b"n\r\n")
    world.deliver(100)
    world.read()
    assert world.splice.live


def test_what_was_printed_long_before_is_no_place_to_look_at(world: World) -> None:
    world.write(b"y\r\n" * 5)
    world.deliver(100)
    world.cut()
    world.ask()
    world.connect()
    world.write(b"y\r\n")
    world.deliver(100)
    world.read()
    assert world.splice.live
    assert world.out == world.printed


def test_what_came_while_the_log_was_read_proves_nothing(world: World) -> None:
    world.cut()
    world.ask()
    world.write(b"a\r\nb\r\n")  # missed
    world.connect()
    world.read_slowly(b"a\r\nb\r\n")
    assert not world.splice.live
    world.read()
    assert world.out == world.printed


def test_a_silent_gap_in_the_middle_of_a_line_can_be_assumed(world: World) -> None:
    world.write(b"$ ")
    world.deliver(2)
    world.cut()
    world.ask()
    world.connect()
    world.write(b"ls")
    world.deliver(2)
    world.read()
    assert world.out == b"$ "
    world.out += world.splice.assume()
    assert world.out == b"$ ls"


def test_a_position_is_taken_up_by_another_process(world: World) -> None:
    world.write(b"one\r\ntwo\r")
    world.deliver(100)
    counted = Normal()
    passed = len(counted.feed(world.out))
    world.splice = Splice(terminal=True, passed=passed, held=counted.held)
    world.asked = world.connected = False
    world.write(b"\nthree\r\n")
    world.ask()
    assert world.out == b"one\r\ntwo\r\nthree\r\n"


def test_more_than_can_be_held_asks_for_a_new_connection() -> None:
    splice = Splice(terminal=True)
    splice.attach()
    assert splice.attached(b"x" * (5 << 20)) == b""
    assert splice.overflown


@given(st.lists(st.sampled_from([b"\r", b"\n", b"a", b"\r\n"]), max_size=12), st.integers(0, 12))
def test_the_normal_form_does_not_depend_on_the_pieces(pieces: list[bytes], count: int) -> None:
    whole, streaming = b"".join(pieces), Normal()
    assert b"".join(map(streaming.feed, pieces)) == normal(whole) == plain(whole).rstrip(b"\r")
    cut = cut_normal(whole, min(count, len(normal(whole))))
    assert normal(whole[:cut] + b"|")[:-1].rstrip(b"\r") == normal(whole)[:count].rstrip(b"\r")

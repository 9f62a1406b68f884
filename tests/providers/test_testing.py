"""The suite that third parties install: it finds what is wrong with a provider, and the product goes without it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from providers.base import AgentEvent, Capabilities, EventKind, Failure, Launch, Parser, Request, Stream, Verdict
from providers.checks import check_mode, check_options
from providers.parsing import JsonLinesParser
from providers.testing import Transcript, TranscriptContract, check_launch
from tests.architecture.sources import ROOT

ASK = Request("t", 1, "headless", "hello")
LINES = b'{"say": "hel"}\n{"say": "lo", "n": 1}\n{"done": "hello"}\n'
EXPECTED = {
    "exit_code": 0, "signal": None, "ok": True, "reason": "", "infrastructure": False, "output": "hello", "message": "",
    "session": "", "tokens_in": None, "tokens_out": None, "cost_usd": None, "kinds": ["message", "message", "result"],
}  # fmt: skip


class Reader(JsonLinesParser):
    """Reads well."""

    def __init__(self) -> None:
        super().__init__()
        self.done: str | None = None

    def on_object(self, said: dict[str, Any], raw: bytes) -> Iterator[AgentEvent]:
        if "done" in said:
            self.done = str(said["done"])
            yield AgentEvent(EventKind.RESULT, self.done, {}, raw)
        else:
            yield AgentEvent(EventKind.MESSAGE, str(said.get("say")), {}, raw)

    def verdict(self, exit_code: int | None, signal: int | None) -> Verdict:
        ok = self.done is not None and exit_code == 0 and signal is None
        return Verdict(ok, output=self.done) if ok else Verdict(False, Failure.NO_RESULT)


class Good:
    name = "good"
    reader: type[Parser] = Reader

    def capabilities(self) -> Capabilities:
        return Capabilities(modes=("headless",), events=True)

    def validate(self, request: Request) -> None:
        check_mode(request, self.capabilities(), self.name)
        check_options(request.options, {}, self.name)

    def launch(self, request: Request) -> Launch:
        return Launch(argv=("good",), stdio="pipes")

    def parser(self, request: Request) -> Parser:
        return self.reader()

    def version(self, stdout: str) -> str:
        return ""


class Unsteady(Reader):
    """Takes what comes at a time for whole lines."""

    def feed(self, stream: Stream, data: bytes) -> Sequence[AgentEvent]:
        return [event for part in data.splitlines(keepends=True) for event in super().feed(stream, part + b"\n")]


class Hasty(Reader):
    """Sees success in half a line."""

    def feed(self, stream: Stream, data: bytes) -> Sequence[AgentEvent]:
        if b'"done"' in data:
            self.done = "hello"
        return super().feed(stream, data)


class Trusting(Reader):
    """Believes that values have the shape they had."""

    def on_object(self, said: dict[str, Any], raw: bytes) -> Iterator[AgentEvent]:
        assert isinstance(said.get("n", 0), int | None)
        return super().on_object(said, raw)


class Deaf(Reader):
    """Never looks at how the program ended."""

    def verdict(self, exit_code: int | None, signal: int | None) -> Verdict:
        return super().verdict(0, None)


class Raw(Reader):
    """Puts into an event what is no JSON."""

    def on_object(self, said: dict[str, Any], raw: bytes) -> Iterator[AgentEvent]:
        for event in super().on_object(said, raw):
            yield replace(event, data={"raw": raw})


class Greedy(Good):
    def capabilities(self) -> Capabilities:
        return Capabilities(modes=("headless",), events=True, env_owned=("*",))


class Sloppy(Good):
    def validate(self, request: Request) -> None:
        check_mode(request, self.capabilities(), self.name)


class Counting(Good):
    launches = 0

    def launch(self, request: Request) -> Launch:
        self.launches += 1
        return Launch(argv=("good", str(self.launches)))


@pytest.fixture
def transcript(tmp_path: Path) -> Transcript:
    (tmp_path / "hello.jsonl").write_bytes(LINES)
    return Transcript(tmp_path, "hello", EXPECTED)


def complaints(provider: Good, transcript: Transcript) -> set[str]:
    """The tests of the suite that fail."""
    suite, failed = TranscriptContract(), set()
    for name in (one for one in dir(suite) if one.startswith("test_")):
        test = getattr(suite, name)
        given = (provider, ASK) if "request_" in test.__annotations__ else (provider,)
        more = (transcript,) if "transcript" in test.__annotations__ else ()
        try:
            test(*given, *more)
        except (Exception, pytest.fail.Exception):
            failed.add(name.removeprefix("test_"))
    return failed


def reading(reader: type[Parser]) -> Good:
    made = Good()
    made.reader = reader
    return made


def test_it_has_nothing_against_a_good_one(transcript: Transcript) -> None:
    assert complaints(Good(), transcript) == set()


@pytest.mark.parametrize(
    ("provider", "found"),
    [
        (reading(Unsteady), {"it_reads_the_same_however_it_is_cut"}),
        (reading(Hasty), {"half_a_line_is_no_success"}),
        (reading(Trusting), {"a_value_of_another_shape_is_survived"}),
        (reading(Deaf), {"success_needs_exit_0_and_no_signal"}),
        (reading(Raw), {"it_reads_the_same_however_it_is_cut", "every_object_of_json_is_taken"}),
        (Greedy(), {"the_variables_it_owns_are_names"}),
        (Sloppy(), {"an_unknown_option_is_refused_by_name"}),
        (Counting(), {"a_launch_is_a_pure_function_of_the_request"}),
    ],
    ids=["unsteady", "hasty", "trusting", "deaf", "raw", "greedy", "sloppy", "counting"],
)
def test_it_finds_what_is_wrong(provider: Good, found: set[str], transcript: Transcript) -> None:
    assert found <= complaints(provider, transcript)


@pytest.mark.parametrize("field", ["ok", "output", "kinds", "tokens_in", "after_ms"])
def test_it_compares_every_field(field: str, transcript: Transcript) -> None:
    transcript.expected = {**EXPECTED, field: 7}
    assert complaints(Good(), transcript) == {"it_reads_the_same_however_it_is_cut"}


@pytest.mark.parametrize(
    "launch", [Launch(), Launch(argv=("a\0",)), Launch(argv=("a",), files={"../x": b""}), Launch(("a",), stdin="file")]
)
def test_a_launch_that_cannot_be(launch: Launch) -> None:
    with pytest.raises(AssertionError):
        check_launch(launch)


def test_long_transcripts_are_cut_around_every_line(tmp_path: Path) -> None:
    line = json.dumps({"say": "x" * 990}).encode() + b"\n"
    (tmp_path / "long.jsonl").write_bytes(line * 70)
    long = Transcript(tmp_path, "long", EXPECTED)
    cuts = set(long.cuts())
    assert {len(line) * number + near for number in range(1, 70) for near in (-2, -1, 0, 1)} <= cuts
    assert len(cuts) > 70 * 4 + 100
    assert long.cuts() == long.cuts()
    assert set(long.cuts(every_below=1 << 20)) == set(range(len(long.out) + 1))


def test_nothing_else_imports_it() -> None:
    code = (
        "import importlib, pkgutil, sys, lite.daemon, lite.wiring, providers\n"
        "from providers.registry import Registry\n"
        "[importlib.import_module(f'providers.{one.name}') for one in pkgutil.iter_modules(providers.__path__)"
        " if one.name != 'testing']\n"
        "print([name for name in ('providers.testing', 'pytest', '_pytest') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

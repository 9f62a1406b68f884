"""The contract of a provider as a pytest suite, for those who write one: `class TestMine(TranscriptContract)`.

It needs pytest, which nothing else here does, and nothing else imports it.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from providers.base import AgentEvent, Launch, Mode, Parser, Provider, Request, Verdict
from providers.errors import ProviderError
from providers.parsing import read_json

EVERY_BYTE_BELOW = 64 * 1024  # longer transcripts are cut at every line's end and around it, and at random
RANDOM_CUTS = 150
MUTATED_LINES = 60  # of a transcript, spread over all of it
Seen = tuple[list[AgentEvent], Verdict]
_MODES: tuple[Mode, ...] = ("interactive", "headless")
_SHAPES: tuple[Any, ...] = (None, True, -7, 1.5, "x", [], {}, [{}], {"content": [1, None, {"type": 3}]}, {"usage": []})
_TYPES = ("system", "assistant", "user", "stream_event", "result", "control_request", "usage", "init", "new", 5, None)
_KEYS = ("message", "event", "request", "usage", "result", "errors", "text", "subtype", "total_cost_usd", "tokens_in")


class Transcript:
    """One recorded attempt and what must come out of it: `NAME.jsonl` its stdout, `NAME.stderr` (may be missing) its
    stderr. `expected`: `exit_code` and `signal` as it ended, and the fields of `outcome`."""

    def __init__(self, folder: Path, name: str, expected: dict[str, Any]) -> None:
        self.name = name
        self.expected = expected
        self.out = (folder / f"{name}.jsonl").read_bytes()
        stderr = folder / f"{name}.stderr"
        self.err = stderr.read_bytes() if stderr.exists() else b""

    def __repr__(self) -> str:
        return self.name

    def cuts(self, every_below: int = EVERY_BYTE_BELOW) -> Sequence[int]:
        size = len(self.out)
        if size < every_below:
            return range(size + 1)
        ends = [at for at, byte in enumerate(self.out) if byte == 10]
        chosen = {at + near for at in ends for near in (-1, 0, 1, 2)} | {0, 1, size - 1, size}
        chosen |= set(random.Random(self.name).sample(range(size), RANDOM_CUTS))
        return sorted(at for at in chosen if 0 <= at <= size)


def transcripts(folder: Path) -> list[Transcript]:
    """All that `cases.json` in the folder names."""
    cases = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    return [Transcript(folder, name, expected) for name, expected in cases.items()]


class ProviderContract:
    """What every provider must keep: pure launches, parsers that survive anything. Subclasses supply the fixtures
    `provider`, and `request_`, which it accepts in every mode it has."""

    @pytest.fixture
    def provider(self) -> Provider:
        raise NotImplementedError

    @pytest.fixture
    def request_(self) -> Request:
        raise NotImplementedError

    def test_it_is_a_provider_with_a_name_and_a_default_mode_it_has(self, provider: Provider) -> None:
        assert isinstance(provider, Provider), "a method of the protocol is missing"
        assert provider.name, "it has no name"
        able = provider.capabilities()
        assert able.default_mode in able.modes, f"its default mode {able.default_mode!r} is not one of {able.modes}"

    def test_the_variables_it_owns_are_names(self, provider: Provider) -> None:
        able = provider.capabilities()
        for name in (*able.env_owned, *able.login_env):
            assert re.fullmatch(r"[A-Za-z_*][A-Za-z0-9_*]*", name), f"{name!r} is no variable's name"
            assert name.strip("*"), "every variable would be its own"

    def test_a_launch_is_a_pure_function_of_the_request(self, provider: Provider, request_: Request) -> None:
        provider.validate(request_)
        launch = provider.launch(request_)
        assert launch == provider.launch(request_), "the same request was launched in two ways"
        check_launch(launch)

    def test_every_mode_it_claims_can_be_launched(self, provider: Provider, request_: Request) -> None:
        for mode in provider.capabilities().modes:
            asked = replace(request_, mode=mode)
            provider.validate(asked)
            check_launch(provider.launch(asked))

    def test_a_mode_it_lacks_is_refused(self, provider: Provider, request_: Request) -> None:
        for mode in _MODES:
            if mode in provider.capabilities().modes:
                continue
            if provider.launch(request_).inline == "noop":
                continue  # takes anything
            field = refused_field(provider, replace(request_, mode=mode))
            assert field == "mode", f"the field that is wrong is named {field!r}"

    def test_an_unknown_option_is_refused_by_name(self, provider: Provider, request_: Request) -> None:
        if not provider.capabilities().events:
            pytest.skip("it takes no options")
        field = refused_field(provider, replace(request_, options={"no_such_option": 1}))
        assert "no_such_option" in field, f"the field that is wrong is named {field!r}"

    def test_a_parser_survives_anything(self, provider: Provider, request_: Request) -> None:
        for noise in (
            b"\0\xff" * 999,
            b"[" * 100_000 + b"\n",
            b"\n\n\r\n",
            b'{"type":"assistant","message":7}\n',
            b"null\n",
        ):
            parser = provider.parser(request_)
            parser.feed("out", noise)
            parser.feed("err", noise)
            assert isinstance(parser.end(0, None), Verdict)

    def test_a_signal_is_never_success(self, provider: Provider, request_: Request) -> None:
        if provider.launch(request_).inline is not None:
            pytest.skip("it has no process")
        assert not provider.parser(request_).end(None, 9).ok, "success though it was killed"

    def test_every_object_of_json_is_taken(self, provider: Provider, request_: Request) -> None:
        lines = [
            json.dumps({"type": kind, "subtype": "init", key: shape}).encode() + b"\n"
            for kind in _TYPES
            for key in _KEYS
            for shape in _SHAPES
        ]
        events, verdict = replay(provider.parser(request_), lines, b"", 0, None)
        check_events(events)
        assert isinstance(verdict, Verdict)


class TranscriptContract(ProviderContract):
    """For those that print something: each transcript in `transcripts` reads the same however it is cut, and gives the
    verdict it must. Subclasses name the folder, with a `cases.json` in it."""

    transcripts: ClassVar[Path]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "transcript" in metafunc.fixturenames:
            metafunc.parametrize("transcript", transcripts(self.transcripts), ids=repr)

    def test_it_reads_the_same_however_it_is_cut(
        self, provider: Provider, request_: Request, transcript: Transcript
    ) -> None:
        check_transcript(provider, request_, transcript)

    def test_half_a_line_is_no_success(self, provider: Provider, request_: Request, transcript: Transcript) -> None:
        check_truncation(provider, request_, transcript)

    def test_success_needs_exit_0_and_no_signal(
        self, provider: Provider, request_: Request, transcript: Transcript
    ) -> None:
        for exit_code, signal in ((1, None), (None, 9), (143, None), (None, None)):
            _, verdict = replay(provider.parser(request_), [transcript.out], transcript.err, exit_code, signal)
            assert not verdict.ok, f"success with exit code {exit_code} and signal {signal}"
            assert verdict.reason, f"no reason with exit code {exit_code} and signal {signal}"

    def test_a_value_of_another_shape_is_survived(
        self, provider: Provider, request_: Request, transcript: Transcript
    ) -> None:
        for lines in mutations(transcript.out):
            events, verdict = replay(provider.parser(request_), lines, transcript.err, 0, None)
            check_events(events)
            assert isinstance(verdict, Verdict)


def refused_field(provider: Provider, request: Request) -> str:
    """The field the provider objects to. It must object."""
    with pytest.raises(ProviderError) as refused:
        provider.validate(request)
    return refused.value.field


def check_launch(launch: Launch) -> None:
    if launch.inline is not None:
        assert not launch.argv, "what runs inline has no argv"
        return
    assert launch.argv, "there is nothing to start"
    assert all(isinstance(word, str) and "\0" not in word for word in launch.argv), launch.argv
    for name in launch.files:
        assert "/" not in name, f"{name!r} is not a file in the session's directory"
        assert name not in ("", ".", ".."), f"{name!r} is not a file in the session's directory"
    if launch.stdin == "file":
        assert launch.stdin_file in launch.files, f"stdin is {launch.stdin_file!r}, which is none of the files"


def check_events(events: Sequence[AgentEvent]) -> None:
    """Their data are plain JSON values."""
    for event in events:
        json.dumps(event.data, allow_nan=False)


def replay(parser: Parser, out: Sequence[bytes], err: bytes, exit_code: int | None, signal: int | None) -> Seen:
    """What comes of these pieces of stdout, with stderr around them."""
    events: list[AgentEvent] = []
    parser.feed("err", err[: len(err) // 2])
    for part in out:
        events += parser.feed("out", part)
    parser.feed("err", err[len(err) // 2 :])
    return events, parser.end(exit_code, signal)


def outcome(events: Sequence[AgentEvent], verdict: Verdict) -> dict[str, Any]:
    """What `cases.json` can say of an attempt."""
    return {
        "ok": verdict.ok,
        "reason": verdict.reason,
        "infrastructure": verdict.infrastructure,
        "output": verdict.output,
        "message": verdict.message,
        "session": verdict.session,
        "tokens_in": verdict.usage.tokens_in,
        "tokens_out": verdict.usage.tokens_out,
        "cost_usd": verdict.usage.cost_usd,
        "kinds": [event.kind.value for event in events],
        "account": verdict.account,
        "until": verdict.until,
        "after_ms": verdict.after_ms,
    }


_MAY_BE_LEFT_OUT = ("account", "until", "after_ms")


def check_transcript(provider: Provider, request: Request, transcript: Transcript) -> None:
    """The expected verdict and events, whatever the cut."""
    expected = transcript.expected
    exit_code, signal = expected["exit_code"], expected["signal"]

    def read(*parts: bytes) -> Seen:
        return replay(provider.parser(request), parts, transcript.err, exit_code, signal)

    out = transcript.out
    whole = read(out)
    got = outcome(*whole)
    wanted = {key: expected[key] for key in got if key in expected or key not in _MAY_BE_LEFT_OUT}
    wrong = {key: got[key] for key in wanted if got[key] != wanted[key]}
    assert not wrong, f"{transcript}: got {wrong}, expected { {key: wanted[key] for key in wrong} }"
    check_events(whole[0])
    assert all(event.raw for event in whole[0]), "every event keeps the line it came from"
    for at in transcript.cuts():
        assert read(out[:at], out[at:]) == whole, f"{transcript} reads differently cut at {at}"
    drops = [out[at : at + 7] for at in range(0, len(out), 7)]
    assert read(*drops) == whole, f"{transcript} reads differently in drops of 7 bytes"


def check_truncation(provider: Provider, request: Request, transcript: Transcript, last: str = "") -> None:
    """However much of the end is missing: no exception, and no success because of half a line. `last`: the `type` of
    the whole object a success must end with."""
    for at in transcript.cuts(every_below=2048):
        kept = transcript.out[:at]
        _, verdict = replay(provider.parser(request), [kept], b"", 0, None)
        if not verdict.ok:
            continue
        lines = kept.splitlines(keepends=True)
        whole = lines if lines and read_json(lines[-1]) is not None else lines[:-1]
        _, before = replay(provider.parser(request), whole, b"", 0, None)
        assert before.ok, f"success though cut at {at}, in the middle of a line"
        if last:
            said = [one for line in whole if (one := read_json(line)) is not None]
            assert said[-1]["type"] == last, f"success though cut at {at}"
    assert not replay(provider.parser(request), [], b"", 0, None)[1].ok, "success though nothing was said"


def mutations(out: bytes) -> Iterator[list[bytes]]:
    """The transcript's lines, of one object each time every value replaced by those of other shapes, one by one."""
    lines = out.splitlines(keepends=True)
    for number in range(0, len(lines), len(lines) // MUTATED_LINES + 1):
        said = read_json(lines[number])
        if said is None:
            continue
        strange = [json.dumps(one).encode() + b"\n" for one in _changed(said)]
        yield [*lines[:number], *strange, *lines[number + 1 :]]


def _changed(said: Any) -> Iterator[Any]:
    """Copies with one value replaced."""
    if isinstance(said, dict):
        for key in said:
            for value in (*_SHAPES, *_changed(said[key])):
                yield {**said, key: value}
    elif isinstance(said, list):
        for at in range(len(said)):
            for value in (*_SHAPES, *_changed(said[at])):
                yield [*said[:at], value, *said[at + 1 :]]

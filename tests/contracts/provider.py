"""What every provider must keep: pure launches, parsers that do not care how bytes are cut, verdicts that never lie."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from providers.base import AgentEvent, EventKind, Launch, Mode, Parser, Provider, Request, Verdict
from providers.errors import ProviderError
from providers.parsing import read_json

EVERY_BYTE_BELOW = 64 * 1024  # longer transcripts are cut at every line's end and around it, and at random
RANDOM_CUTS = 150
Seen = tuple[list[AgentEvent], Verdict]


class Transcript:
    """One recorded attempt and what must come out of it."""

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
    cases = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    return [Transcript(folder, name, expected) for name, expected in cases.items()]


class ProviderContract:
    """Subclasses supply `provider`, and a `request` it accepts."""

    @pytest.fixture
    def provider(self) -> Provider:
        raise NotImplementedError

    @pytest.fixture
    def request_(self) -> Request:
        raise NotImplementedError

    def test_it_is_a_provider_with_a_name_and_a_default_mode_it_has(self, provider: Provider) -> None:
        assert isinstance(provider, Provider)
        assert provider.name
        assert provider.capabilities().default_mode in provider.capabilities().modes

    def test_a_launch_is_a_pure_function_of_the_request(self, provider: Provider, request_: Request) -> None:
        provider.validate(request_)
        launch = provider.launch(request_)
        assert launch == provider.launch(request_)
        check_launch(launch)

    def test_every_mode_it_claims_can_be_launched(self, provider: Provider, request_: Request) -> None:
        for mode in provider.capabilities().modes:
            asked = replace(request_, mode=mode)
            provider.validate(asked)
            check_launch(provider.launch(asked))

    def test_a_mode_it_lacks_is_refused(self, provider: Provider, request_: Request) -> None:
        modes: tuple[Mode, ...] = ("interactive", "headless")
        for mode in modes:
            if mode in provider.capabilities().modes:
                continue
            if provider.launch(request_).inline == "noop":
                continue  # takes anything
            with pytest.raises(ProviderError) as refused:
                provider.validate(replace(request_, mode=mode))
            assert refused.value.field == "mode"

    def test_an_unknown_option_is_refused_by_name(self, provider: Provider, request_: Request) -> None:
        if not provider.capabilities().events:
            pytest.skip("it takes no options")
        with pytest.raises(ProviderError) as refused:
            provider.validate(replace(request_, options={"no_such_option": 1}))
        assert "no_such_option" in refused.value.field

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
        assert not provider.parser(request_).end(None, 9).ok

    def test_every_object_of_json_is_taken(self, provider: Provider, request_: Request) -> None:
        shapes: list[Any] = [None, True, 7, 1.5, "x", [], {}, [{}], {"content": [1, None, {"type": 3}]}, {"usage": []}]
        types = [
            "system",
            "assistant",
            "user",
            "stream_event",
            "result",
            "control_request",
            "usage",
            "init",
            "new",
            5,
            None,
        ]
        keys = [
            "message",
            "event",
            "request",
            "usage",
            "result",
            "errors",
            "text",
            "subtype",
            "total_cost_usd",
            "tokens_in",
        ]
        parser = provider.parser(request_)
        for kind in types:
            for key in keys:
                for shape in shapes:
                    line = json.dumps({"type": kind, "subtype": "init", key: shape}).encode() + b"\n"
                    for event in parser.feed("out", line):
                        json.dumps(event.data, allow_nan=False)
        assert isinstance(parser.end(0, None), Verdict)


def check_launch(launch: Launch) -> None:
    if launch.inline is not None:
        assert not launch.argv
        return
    assert launch.argv
    assert all(isinstance(word, str) and "\0" not in word for word in launch.argv)
    assert all("/" not in name and name not in ("", ".", "..") for name in launch.files)
    if launch.stdin == "file":
        assert launch.stdin_file in launch.files


def replay(parser: Parser, out: Sequence[bytes], err: bytes, exit_code: int | None, signal: int | None) -> Seen:
    events: list[AgentEvent] = []
    parser.feed("err", err[: len(err) // 2])
    for part in out:
        events += parser.feed("out", part)
    parser.feed("err", err[len(err) // 2 :])
    return events, parser.end(exit_code, signal)


def check_transcript(provider: Provider, request: Request, transcript: Transcript) -> None:
    """The expected verdict and events, whatever the cut."""
    expected = transcript.expected
    exit_code, signal = expected["exit_code"], expected["signal"]
    whole = replay(provider.parser(request), [transcript.out], transcript.err, exit_code, signal)
    events, verdict = whole
    got = {
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
    }
    assert got == {key: expected[key] for key in got}
    assert all(event.raw for event in events), "every event keeps the line it came from"
    out = transcript.out
    for at in transcript.cuts():
        parts = [out[:at], out[at:]]
        assert replay(provider.parser(request), parts, transcript.err, exit_code, signal) == whole, f"cut at {at}"
    drops = [out[at : at + 7] for at in range(0, len(out), 7)]
    assert replay(provider.parser(request), drops, transcript.err, exit_code, signal) == whole


def check_truncation(provider: Provider, request: Request, transcript: Transcript, last: str = "result") -> None:
    """However much of the end is missing: no exception, and success only when a whole result is the last thing said."""
    for at in transcript.cuts(every_below=2048):
        kept = transcript.out[:at]
        _, verdict = replay(provider.parser(request), [kept], b"", 0, None)
        if verdict.ok:
            whole = [said for line in kept.splitlines() if (said := read_json(line)) is not None]
            assert whole[-1]["type"] == last, f"success though cut at {at}"


def unknown_events(events: Sequence[AgentEvent]) -> list[AgentEvent]:
    return [event for event in events if event.kind is EventKind.UNKNOWN]

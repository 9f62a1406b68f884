"""A structured session's events: written once each, wherever the output was cut and the supervisor killed."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from lite.aio.tasks import spawn
from lite.engine.transcript import Transcript
from lite.model.task import Outcome, OutcomeKind
from lite.recordings.writer import Writer
from lite.terminal import packets
from lite.transcripts.layout import transcript_path
from lite.transcripts.lines import Lines, Said
from providers.base import AgentEvent
from providers.claude_events import ClaudeParser

CLAUDE = Path(__file__).parents[1] / "providers" / "transcripts" / "claude"
ENDED = Outcome(OutcomeKind.SUCCEEDED, exit_code=0)


class Live:
    """A stream of packets that ends when they do."""

    def __init__(self, parts: list[bytes]) -> None:
        self.parts = list(parts)

    async def read(self) -> packets.Packet | None:
        if not self.parts:
            return None
        part = self.parts.pop(0)
        return part[0], part[5:]

    async def write(self, packet: packets.Packet) -> None: ...

    async def aclose(self) -> None: ...


def output(*parts: tuple[int, bytes], at: int = 0) -> list[bytes]:
    found = []
    for stream, data in parts:
        found.append(packets.output(at, stream, data))
        at += len(data)
    return found


def transcript_of(directory: Path, seen: list[AgentEvent] | None = None) -> Transcript:
    return Transcript(str(directory), ClaudeParser(), (seen if seen is not None else []).append)


def kept(directory: Path) -> list[Said]:
    return Lines().feed(transcript_path(directory).read_bytes())


async def test_events_stderr_and_how_it_ended(tmp_path: Path) -> None:
    tool = (CLAUDE / "tool.jsonl").read_bytes()
    line = tool.index(b"\n") + 1
    transcript = transcript_of(tmp_path)
    await transcript.follow(Live(output((0, tool[:line]), (1, b"care"), (1, b"ful\nhalf"), (0, tool[line:]))))
    assert transcript.end(ENDED).ok
    said = kept(tmp_path)
    kinds = [one.kind for one in said]
    assert [kinds[0], *kinds[-3:]] == ["init", "result", "stderr", "verdict"]
    assert [one.text for one in said if one.kind == "stderr"] == ["careful", "half"]
    assert said[0].offset == line
    assert said[kinds.index("stderr")].offset == line + len(b"careful\n")


async def test_killed_anywhere_and_adopted_again_each_event_is_there_once(tmp_path: Path) -> None:
    data = (CLAUDE / "partial-messages.jsonl").read_bytes()
    rng = random.Random(11)
    (tmp_path / "whole").mkdir()
    whole = transcript_of(tmp_path / "whole")
    await whole.follow(Live(output((0, data))))
    whole.end(ENDED)
    expected = kept(tmp_path / "whole")
    assert len(expected) > 10
    for number in range(60):
        directory = tmp_path / str(number)
        directory.mkdir()
        writer = Writer(str(directory), cols=80, rows=24, cap_bytes=1 << 20)
        writer.append(0, data, 1)
        writer.close()
        seen = b""
        for killed in (*sorted(rng.sample(range(len(data)), 2)), len(data)):
            parts, at = [], 0
            while at < killed:
                step = min(rng.randrange(1, 4000), killed - at)
                parts.append((0, data[at : at + step]))
                at += step
            transcript = transcript_of(directory)
            await transcript.follow(Live(output(*parts)))
            path = transcript_path(directory)
            assert path.read_bytes().startswith(seen)  # a follower that had these bytes goes on after them
            if killed < len(data):  # kill -9, at times in the middle of a line
                torn = rng.randrange(path.stat().st_size + 1)
                path.write_bytes(path.read_bytes()[:torn])
                seen = path.read_bytes()[: path.read_bytes().rfind(b"\n") + 1]
                transcript.close()
        transcript.end(ENDED)
        assert kept(directory) == expected


async def test_everything_is_told_to_the_runner_again_after_an_adoption(tmp_path: Path) -> None:
    data = (CLAUDE / "tool.jsonl").read_bytes()
    first: list[AgentEvent] = []
    second: list[AgentEvent] = []
    for seen in (first, second):
        transcript = transcript_of(tmp_path, seen)
        await transcript.follow(Live(output((0, data))))
        transcript.close()
    assert [event.kind for event in first] == [event.kind for event in second]


async def test_who_waits_for_more_is_woken_by_it_and_by_the_end(tmp_path: Path) -> None:
    data = (CLAUDE / "tool.jsonl").read_bytes()
    transcript = transcript_of(tmp_path)
    waiting = spawn(transcript.grown(0), "wait")
    await asyncio.sleep(0)
    assert not waiting.done()
    await transcript.follow(Live(output((0, data))))
    await asyncio.wait_for(waiting, 30)
    size = transcript.size
    waiting = spawn(transcript.grown(size + (1 << 30)), "wait")
    await asyncio.sleep(0)
    await asyncio.to_thread(transcript.end, ENDED)
    await asyncio.wait_for(waiting, 30)
    assert transcript.size > size


async def test_a_transcript_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    data = (CLAUDE / "tool.jsonl").read_bytes()
    seen: list[AgentEvent] = []
    transcript = transcript_of(tmp_path / "missing", seen)
    await transcript.follow(Live(output((0, data))))
    assert transcript.end(ENDED).ok
    assert seen
    await asyncio.wait_for(transcript.grown(0), 30)

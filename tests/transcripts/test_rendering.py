"""Events as lines for people: what is said once is shown once, nothing dangerous, nothing endless."""

from __future__ import annotations

import json
import random
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from wcwidth import wcswidth

from lite.transcripts.flow import Block, Piece, clipped
from lite.transcripts.lines import Lines, Said
from lite.transcripts.painting import painted
from lite.transcripts.rendering import MESSAGE_LINES, Renderer
from lite.transcripts.telling import telling
from lite.transcripts.writer import Entry, line_of
from providers.base import EventKind
from providers.claude_events import ClaudeParser

CLAUDE = Path(__file__).parents[1] / "providers" / "transcripts" / "claude"


def rendered(*said: Said, width: int | None = 60, **options: Any) -> str:
    renderer = Renderer(width=width, **options)
    pieces = [piece for one in said for piece in renderer.feed(one)] + renderer.close()
    return painted(pieces, colour=False)


def message(text: str, **data: Any) -> Said:
    return Said("message", text, data)


def deltas(*texts: str, **data: Any) -> list[Said]:
    return [Said("delta", text, data) for text in texts]


def claude(name: str, exit_code: int = 0) -> list[Said]:
    parser = ClaudeParser()
    events = parser.feed("out", (CLAUDE / f"{name}.jsonl").read_bytes())
    lines = [line_of(Entry(event.kind.value, event.text, event.data, 0)) for event in events]
    verdict = parser.end(exit_code, None)
    lines.append(line_of(Entry("verdict", verdict.message, {"ok": verdict.ok, "reason": str(verdict.reason)}, 0)))
    return Lines().feed(b"".join(lines))


def test_a_real_session_reads_as_what_was_done() -> None:
    lines = rendered(*claude("tool"), width=80).splitlines()
    assert lines[1:] == [
        "",
        "Adding the greeting file.",
        "",
        "▸ Write  /project/greeting.txt",
        "  │ File created successfully at: /project/greeting.txt (recorded)",
        "",
        "The greeting is in place.",
        "",
        "  25,369 tokens in, 57 out, $0.1013",
        "✓ done, 2 turns, 0.5 s",
    ]
    assert lines[0].startswith("● claude-test-1, session 0abc")


def test_partial_messages_read_as_whole_ones() -> None:
    """The recording says everything twice: in parts, then whole."""
    parts, whole = (rendered(*claude(name), width=80).splitlines() for name in ("partial-messages", "tool"))
    assert [line for line in parts if not line.startswith(("●", "  │", "  25"))] == [
        line for line in whole if not line.startswith(("●", "  │", "  25"))
    ]


def test_every_transcript_of_a_real_program_can_be_read() -> None:
    for path in CLAUDE.glob("*.jsonl"):
        for width in (20, 80, None):
            text = rendered(*claude(path.stem), width=width)
            assert all(line.isprintable() or "�" in line or "\u200d" in line for line in text.split("\n")), path
            if width is not None:
                assert all(wcswidth(line) <= width for line in text.split("\n") if "\u200d" not in line), path


def test_a_failure_says_why() -> None:
    assert "✗ not-logged-in" in rendered(*claude("not-logged-in", 1))
    assert rendered(Said("verdict", "unknown option", {"ok": False, "reason": "bad-flag"})) == (
        "✗ bad-flag: unknown option\n"
    )


class TestDeltas:
    def test_they_are_shown_as_they_come_and_never_again(self) -> None:
        renderer = Renderer(width=60)
        assert painted(renderer.feed(Said("delta", "One two thr")), colour=False) == "One two"
        assert painted(renderer.feed(Said("delta", "ee ")), colour=False) == " three"
        assert painted(renderer.feed(message("One two three four")), colour=False) == " four\n"

    @pytest.mark.parametrize("whole", ["Hello there.", "Hello there. ", "\nHello there.\n", "there."])
    def test_the_whole_message_is_left_out(self, whole: str) -> None:
        assert rendered(*deltas("Hel", "lo ", "there."), message(whole)) == "Hello there.\n"

    def test_another_message_is_not(self) -> None:
        assert rendered(*deltas("Hello"), message("Something else")) == "Hello\n\nSomething else\n"

    def test_thinking_and_speaking_are_told_apart(self) -> None:
        said = [*deltas("hm", " hm", thinking=True), Said("thinking", "hm hm"), *deltas("Yes."), message("Yes.")]
        assert rendered(*said) == "  ┊ hm hm\n\nYes.\n"

    def test_cut_at_random_the_lines_are_those_of_the_whole(self) -> None:
        rng = random.Random(3)
        text = "\n".join(" ".join("wörd" * rng.randrange(1, 6) for _ in range(rng.randrange(30))) for _ in range(20))
        text = "x" + text.rstrip()
        whole = rendered(message(text), width=40)
        for _ in range(50):
            parts, at = [], 0
            while at < len(text):
                step = rng.randrange(1, 30)
                parts.append(text[at : at + step])
                at += step
            assert rendered(*deltas(*parts), message(text), width=40) == whole

    def test_others_who_speak_meanwhile_break_nothing(self) -> None:
        first, second = deltas("One ", "two.")
        assert rendered(first, Said("stderr", "old"), second, message("One two.")) == "One two.\n! old\n"
        assert rendered(first, Said("retry", "x"), second, message("One two.")) == "One\n↻ tries again: x\n\ntwo.\n"

    def test_only_the_parts_without_a_whole(self) -> None:
        assert rendered(*deltas("a", "b"), Said("result", "ab", {"ok": True})) == "ab\n\n✓ done\n"


class TestFolding:
    def test_a_long_result_says_how_much_there_is(self) -> None:
        text = "\n".join(f"line {number}" for number in range(128))
        lines = rendered(Said("tool_use", "Bash", {"input": {"command": "ls"}}), Said("tool_result", text)).splitlines()
        assert lines[0] == "▸ Bash  ls"
        assert lines[1:9] == [f"  │ line {number}" for number in range(8)]
        assert lines[9:] == ["  │ … 120 more lines (--raw)"]
        assert "… 1,016+ more lines" in rendered(Said("tool_result", "x\n" * 1024, {}, 0, 99))

    def test_long_lines_of_a_result_are_cut_not_wrapped(self) -> None:
        text = rendered(Said("tool_result", "x" * 500 + "\nnext"), width=30)
        assert text == "  │ " + "x" * 25 + "…\n  │ next\n"

    def test_thinking_is_a_few_lines(self) -> None:
        text = rendered(Said("thinking", "word " * 500), width=40)
        assert text.count("\n") == 5
        assert "more characters" in text.splitlines()[-1]

    def test_what_the_file_cut_is_counted(self) -> None:
        assert "… 1,000 more characters" in rendered(Said("message", "a", {}, 0, 1000))

    @pytest.mark.parametrize(
        "text", ["x" * (50 << 20), "y\n" * (25 << 20), "\x1b]0;" * (12 << 20), "\x9d" * (50 << 20)]
    )
    def test_fifty_megabytes_cost_what_is_shown(self, text: str) -> None:
        for kind in ("message", "tool_result", "thinking", "retry", "result", "stderr", "unknown"):
            for width in (80, None):
                renderer = Renderer(width=width, everything=True)
                said = Said(kind, text)
                tracemalloc.start()
                begun = time.process_time()
                shown = painted(renderer.feed(said) + renderer.close(), colour=True)
                took = time.process_time() - begun
                _, peak = tracemalloc.get_traced_memory()
                tracemalloc.stop()
                assert len(shown) < 1 << 20
                assert shown.count("\n") < MESSAGE_LINES + 10
                assert peak < 16 << 20, (kind, width, peak)
                assert took < 20, (kind, width, took)

    def test_many_deltas_of_one_message_stay_within_bounds(self) -> None:
        renderer = Renderer(width=80)
        said = Said("delta", "z" * 997 + "\n")
        shown = sum(len(piece.text) for _ in range(5000) for piece in renderer.feed(said))
        assert shown < 1 << 20
        assert sum(map(len, renderer._heard["message"])) < 1 << 19


class TestHostile:
    BAD = "a\x1b[2Jb\x1b]52;c;aGk=\x07c\u202ed\x00e\x9bf\rg\u200b\x1b]8;;http://x\x1b\\h"

    @pytest.mark.parametrize(
        "kind",
        [*EventKind, "stderr", "verdict", "x"],
    )
    def test_no_kind_lets_anything_through(self, kind: str) -> None:
        bad = self.BAD
        data: dict[str, Any] = dict.fromkeys(
            ("name", "id", "model", "session", "reason", "kind", "parent", "type", bad), bad
        )
        data |= {"input": {"command": bad}, "malformed": True, "tokens_in": bad, "cost_usd": bad, "num_turns": bad}
        for width in (8, 60, None):
            for extra in ({}, {"ok": False}, {"malformed": False}):
                text = rendered(Said(kind, bad, data | extra), everything=True, width=width)
                assert all(char == "\n" or char.isprintable() for char in text), (kind, text)

    def test_a_sequence_cut_in_two_stays_harmless(self) -> None:
        for at in range(len(self.BAD)):
            text = rendered(*deltas(self.BAD[:at], self.BAD[at:]))
            assert all(char == "\n" or char.isprintable() for char in text)

    @pytest.mark.parametrize("data", [{"input": []}, {"input": 5}, {"input": {"command": None}}, {"name": {"a": 1}}])
    def test_data_of_any_shape(self, data: dict[str, Any]) -> None:
        for kind in ("tool_use", "tool_result", "needs_user", "usage", "result", "init"):
            rendered(Said(kind, "t", data))

    @pytest.mark.parametrize("width", [1, 2, 5, 9, 33])
    def test_wide_characters_fit(self, width: int) -> None:
        for text in ("日本語" * 40, "é" * 90, "日 本 語 " * 20, "x" * 300):
            for line in rendered(message(text), width=width).split("\n"):
                assert wcswidth(line) <= max(width, 8)
        assert wcswidth(clipped("日本語" * 40, width)) <= width


class TestTelling:
    @pytest.mark.parametrize(
        ("given", "told"),
        [
            ({"input": {"command": "make", "description": "d"}}, "make"),
            ({"input": {"command": ["bash", "-lc", "ls -l | wc"]}}, "ls -l | wc"),
            ({"input": {"command": ["rm", "a b"]}}, "rm 'a b'"),
            ({"input": {"old": "x", "file_path": "/a/b.py"}}, "/a/b.py"),
            ({"input": {"url": "https://x.test", "prompt": "read"}}, "https://x.test"),
            ({"arguments": '{"path": "p"}'}, "p"),
            ({"input": {"todos": [{"a": 1}]}}, '{"todos": [{"a": 1}]}'),
            ({"input": {"anything": "alone"}}, "alone"),
            ({"command": "direct"}, "direct"),
            ({}, ""),
        ],
    )
    def test_the_argument_that_tells_most(self, given: dict[str, Any], told: str) -> None:
        assert telling(given) == told

    def test_a_tool_is_one_line(self) -> None:
        text = rendered(Said("tool_use", "Bash", {"input": {"command": "a\n" * 500}}), width=30)
        assert text.count("\n") == 1
        assert wcswidth(text.strip()) <= 30

    def test_results_of_several_tools_at_once_name_theirs(self) -> None:
        uses = [Said("tool_use", name, {"id": name, "input": {"path": "p"}}) for name in ("Read", "Grep")]
        text = rendered(*uses, Said("tool_result", "r", {"id": "Read"}), Said("tool_result", "g", {"id": "Grep"}))
        assert text == "▸ Read  p\n▸ Grep  p\n◂ Read\n  │ r\n◂ Grep\n  │ g\n"


def test_the_rest_of_the_kinds() -> None:
    asked = {"kind": "permission", "tool_name": "Bash", "input": {"command": "rm -r x"}}
    assert rendered(Said("needs_user", "Bash", asked)) == "? permission: Bash: rm -r x\n"
    assert rendered(Said("retry", "attempt 2 of 3")) == "↻ tries again: attempt 2 of 3\n"
    assert rendered(Said("init", "", {"model": "m"}), Said("init", "", {"model": "m"})) == "● m\n"
    assert rendered(Said("stderr", "warning: \x1b[1mold")) == "! warning: old\n"
    assert rendered(Said("verdict", "", {"ok": True})) == "✓ done\n"
    assert rendered(Said("result", "out", {"ok": True}), Said("verdict", "", {"ok": True})) == "out\n\n✓ done\n"


def test_what_is_not_understood_is_left_out_unless_asked_for() -> None:
    odd = [Said("unknown", "", {"type": "x"}), Said("of the future", "hi", {"a": 1})]
    assert rendered(*odd) == ""
    assert rendered(*odd, everything=True) == '· unknown: {"type": "x"}\n· of the future: hi {"a": 1}\n'.replace(
        ": {", ":  {"
    )
    assert rendered(Said("unknown", "plain words", {"malformed": True})) == "· plain words\n"


def test_subagents_stand_apart() -> None:
    assert rendered(message("inner", parent="t")) == "  inner\n"


def test_colours_are_only_there_when_wanted() -> None:
    pieces = [Piece("x", "bad"), Piece("\n", "text"), Piece("y\n", "dim")]
    assert painted(pieces, colour=True) == "\x1b[31mx\x1b[0m\n\x1b[2my\x1b[0m\n"
    assert painted(pieces, colour=False) == "x\ny\n"


def test_a_block_without_width_leaves_lines_alone() -> None:
    block = Block(None, "text", most=5)
    text = "word " * 100 + "\n" + "  code"
    assert painted(block.write(text) + block.close(), colour=False) == text + "\n"


def test_said_is_json_again() -> None:
    said = Said("message", "x", {"a": 1}, 5, 7)
    assert Lines().feed(json.dumps(said.to_json()).encode() + b"\n") == [said]

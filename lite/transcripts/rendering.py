"""What an agent said, as lines for people, while it says it. Pure; memory is bounded by what is shown.

Tones say what a piece is (`painting` gives them colours): text dim head tool result ok bad warn.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from lite.transcripts.flow import Block, Piece, cells, clipped, one_line
from lite.transcripts.layout import MAX_TEXT
from lite.transcripts.lines import Said
from lite.transcripts.telling import telling, tool_name

RESULT_LINES, THINKING_LINES, MESSAGE_LINES = 8, 4, 400
_UNLIMITED = 240  # columns of what must be one line, where there is no width
_TOOLS = 1000  # whose names are remembered
_HELD = 100  # pieces held back
_ENDINGS = ("result", "verdict", "usage")


class Renderer:
    """One transcript, in order. `width`: columns to fit into, None: only what must be one line is cut.

    `everything` shows what is not understood, too; `more` says where there is more: "--raw"."""

    def __init__(self, *, width: int | None = None, everything: bool = False, more: str = "--raw") -> None:
        self._width = width
        self._everything = everything
        self._more = more
        self._block: Block | None = None  # being told in parts,
        self._telling = ""  # a message or a thinking
        self._parent = ""  # of the block: whose agent speaks
        self._held: list[Piece] = []  # what is shown after it
        self._heard: dict[str, list[str]] = {}  # told in parts, before the whole is repeated
        self._heard_size = 0
        self._message = ""  # the last one
        self._tools: dict[str, str] = {}  # id -> name
        self._last_tool = ""
        self._begun = False
        self._spaced = True  # the line above is blank, or there is none
        self._usage = self._init = ""
        self._verdict = False  # the result said how it went
        self._failed_with = ""  # the words of the failure above
        self._failed = False  # and nothing came after it
        self._counted = False  # the line above is the usage
        self._kinds: dict[str, Callable[[Said], list[Piece]]] = {
            "init": self._on_init,
            "message": self._on_message,
            "delta": self._on_delta,
            "thinking": self._on_thinking,
            "tool_use": self._on_tool_use,
            "tool_result": self._on_tool_result,
            "needs_user": self._on_needs_user,
            "retry": self._on_retry,
            "usage": self._on_usage,
            "result": self._on_result,
            "stderr": self._on_stderr,
            "verdict": self._on_verdict,
        }

    def feed(self, said: Said) -> list[Piece]:
        """The pieces to be shown now; a message in parts leaves its line open."""
        if said.kind not in _ENDINGS:
            self._failed = self._counted = False
        if len(said.text) > MAX_TEXT:
            said = said._replace(text=said.text[:MAX_TEXT], cut=said.cut + len(said.text) - MAX_TEXT)
        return self._kinds.get(said.kind, self._on_other)(said)

    def close(self) -> list[Piece]:
        """Ends an open line."""
        return self._end()

    # messages

    def _on_message(self, said: Said) -> list[Piece]:
        if not said.text.strip():
            return []
        pieces = self._whole("message", said)
        self._message = said.text
        return pieces

    def _on_thinking(self, said: Said) -> list[Piece]:
        return self._whole("thinking", said) if said.text.strip() else []

    def _on_delta(self, said: Said) -> list[Piece]:
        if not said.text:
            return []
        kind = "thinking" if said.data.get("thinking") else "message"
        parent = _parent(said)
        pieces: list[Piece] = []
        if self._block is None or (kind, parent) != (self._telling, self._parent):
            if not said.text.strip():
                return []
            pieces = self._end()
            if parent != self._parent or kind not in self._heard:
                self._heard[kind], self._heard_size = [], 0
            pieces += self._start(kind, parent)
        assert self._block is not None
        if self._heard_size < MAX_TEXT:
            self._heard[kind].append(said.text)
            self._heard_size += len(said.text)
        return pieces + self._block.write(said.text)

    def _whole(self, kind: str, said: Said) -> list[Piece]:
        """All of a text, or what of it was not told in parts."""
        heard = "".join(self._heard.pop(kind, ())).lstrip()
        text = said.text.strip("\n")
        plain = text.strip()
        if heard and self._block is not None and self._telling == kind and plain.startswith(heard):
            return self._block.write(plain[len(heard) :], cut=said.cut) + self._end()
        heard = heard.rstrip()
        if heard and (heard.startswith(plain) or heard.endswith(plain)):
            return self._end()
        pieces = self._end() + self._start(kind, _parent(said))
        assert self._block is not None
        return pieces + self._block.write(text, cut=said.cut) + self._end()

    def _start(self, kind: str, parent: str) -> list[Piece]:
        pieces = self._space()
        inner = "  " if parent else ""
        if kind == "thinking":
            margin, tone, most = inner + "  ┊ ", "dim", THINKING_LINES
        else:
            margin, tone, most = inner, "result" if parent else "text", MESSAGE_LINES
        self._block = Block(self._width, tone, margin=margin, most=most, more=self._more)
        self._telling, self._parent = kind, parent
        self._begun, self._spaced = True, False
        return pieces

    def _end(self) -> list[Piece]:
        block, self._block = self._block, None
        if block is None:
            return []
        if self._telling == "message":
            self._message = "".join(self._heard.get("message", ())) or self._message
        held, self._held = self._held, []
        return block.close() + held

    # tools

    def _on_tool_use(self, said: Said) -> list[Piece]:
        pieces = self._end()
        if self._begun and not self._spaced and not self._last_tool:
            pieces += self._space()
        self._heard.clear()
        name = one_line(tool_name(said.text, said.data), 80)
        if ident := said.data.get("id"):
            if len(self._tools) >= _TOOLS:
                self._tools.pop(next(iter(self._tools)))
            self._tools[str(ident)] = name
        told = one_line(telling(said.data))
        pieces += self._line([Piece(f"▸ {name}", "tool"), Piece(f"  {told}" if told else "", "text")], said)
        self._last_tool = str(ident or name)
        return pieces

    def _on_tool_result(self, said: Said) -> list[Piece]:
        pieces = self._end()
        self._heard.clear()
        ok = said.data.get("ok") is not False
        ident = str(said.data.get("id") or "")
        inner = "  " if _parent(said) else ""
        known = self._tools.pop(ident, "")
        if known and ident != self._last_tool:
            pieces += self._line([Piece(f"◂ {known}", "dim")], said)
        mark, tone = ("  │ ", "dim") if ok else ("  ✗ ", "bad")
        text = said.text.strip("\n") or ("" if ok else "it failed")
        block = Block(
            self._width,
            "result",
            margin=inner + mark,
            margin_tone=tone,
            most=RESULT_LINES,
            clip=_UNLIMITED * 2,
            more=self._more,
        )
        pieces += block.write(text or "(nothing)", cut=said.cut) + block.close()
        self._begun, self._spaced = True, False
        self._last_tool = self._last_tool or ident or " "
        return pieces

    # all else

    def _on_init(self, said: Said) -> list[Piece]:
        words = [one_line(str(said.data[key]), 200) for key in ("model", "version") if said.data.get(key)]
        if session := said.data.get("session"):
            words.append(f"session {one_line(str(session), 200)}")
        told = ", ".join(words) or one_line(said.text) or "it begins"
        if told == self._init:
            return []  # another turn of the same
        self._init = told
        return self._end() + self._space() + self._line([Piece(f"● {told}", "head")], said)

    def _on_needs_user(self, said: Said) -> list[Piece]:
        self._heard.clear()
        kind = one_line(str(said.data.get("kind") or "question"), 40)
        asked = one_line(said.text)
        about = one_line(telling(said.data))
        if about and about not in asked:
            asked = f"{asked}: {about}" if asked else about
        return self._end() + self._space() + self._line([Piece(f"? {kind}: {asked}", "warn")], said)

    def _on_retry(self, said: Said) -> list[Piece]:
        return self._end() + self._line([Piece(f"↻ tries again: {one_line(said.text)}", "warn")], said)

    def _on_usage(self, said: Said) -> list[Piece]:
        words: list[str] = []
        for key, name in (("tokens_in", "in"), ("tokens_out", "out")):
            count = said.data.get(key)
            if isinstance(count, int) and not isinstance(count, bool):
                words.append(f"{count:,} {name}" if words else f"{count:,} tokens {name}")
        cost = said.data.get("cost_usd")
        if isinstance(cost, int | float) and not isinstance(cost, bool):
            words.append(f"${cost:.4f}")
        told = ", ".join(words)
        if not told or told == self._usage or not any(said.data.get(key) for key in ("tokens_in", "tokens_out")):
            return []
        self._usage = told
        pieces = self._end() + self._space() + self._line([Piece(f"  {told}", "dim")], said)
        self._counted = True
        return pieces

    def _on_result(self, said: Said) -> list[Piece]:
        pieces = self._end()
        self._heard.clear()
        if said.data.get("ok") is False:
            reason = one_line(str(said.data.get("reason") or ""), 80)
            words = [word for word in (reason, self._fresh(said.text)) if word]
            self._verdict = bool(reason)
            return pieces + self._told_badly(words or ["it failed"], said)
        text = said.text.strip()
        if text and text != self._message.strip():
            pieces += self._whole("message", said)
        self._message = said.text or self._message
        turns, took = said.data.get("num_turns"), said.data.get("duration_ms")
        words = ["done"]
        if isinstance(turns, int):
            words.append(f"{turns} turn{'s' if turns != 1 else ''}")
        if isinstance(took, int | float):
            words.append(f"{took / 1000:.1f} s")
        self._verdict = True
        return pieces + self._space() + self._line([Piece(f"✓ {', '.join(words)}", "ok")], said)

    def _on_verdict(self, said: Said) -> list[Piece]:
        pieces = self._end()
        if said.data.get("ok") is not False:
            return pieces if self._verdict else pieces + self._space() + self._line([Piece("✓ done", "ok")], said)
        reason = one_line(str(said.data.get("reason") or ""), 80)
        fresh = self._fresh(said.text)
        if self._verdict and not fresh:
            return pieces
        return pieces + self._told_badly([word for word in (reason, fresh) if word] or ["it failed"], said)

    def _told_badly(self, words: list[str], said: Said) -> list[Piece]:
        space = self._space()
        block = Block(self._width, "bad", margin="✗ ", margin_tone="bad", most=RESULT_LINES, more=self._more)
        pieces = block.write(": ".join(words), cut=said.cut) + block.close()
        self._begun, self._spaced, self._last_tool = True, False, ""
        self._failed = True
        return space + pieces

    def _fresh(self, text: str) -> str:
        """One line of it, "" when it was just said."""
        told = one_line(text)
        if told and told == self._failed_with:
            return ""
        self._failed_with = told
        return told

    def _on_stderr(self, said: Said) -> list[Piece]:
        line = one_line(said.text)
        if not line:
            return []
        if self._block is None:
            return self._line([Piece(f"! {line}", "dim")], said)
        if len(self._held) < _HELD:  # a word of the agent's is not broken by what somebody else says
            self._held += self._line([Piece(f"! {line}", "dim")], said)
        return []

    def _on_other(self, said: Said) -> list[Piece]:
        data = said.data
        if data.get("full"):
            told = f"the rest was too much for a transcript ({self._more})"
        elif data.get("malformed"):
            told = one_line(said.text)
        elif data.get("skipped_bytes"):
            told = f"{one_line(said.text)} ({self._more})"
        elif data.get("denied"):
            return self._end() + self._line([Piece(f"⊘ denied: {one_line(said.text)}", "warn")], said)
        elif self._everything:
            rest = json.dumps(data, ensure_ascii=False, default=str) if data else ""
            told = f"{one_line(said.kind, 40)}: {one_line(said.text)} {one_line(rest)}"
        else:
            return []
        return self._end() + self._line([Piece(f"· {told}", "dim")], said)

    # lines

    def _line(self, pieces: list[Piece], said: Said) -> list[Piece]:
        """One line of what is in `pieces`, cut where the width ends."""
        left = _UNLIMITED if self._width is None else self._width
        shown: list[Piece] = []
        if _parent(said):
            shown.append(Piece("  ", "dim"))
            left -= 2
        for piece in pieces:
            text = clipped(piece.text, left) if left > 0 else ""
            if text:
                shown.append(Piece(text, piece.tone))
            left -= cells(text)
        shown.append(Piece("\n", "text"))
        self._begun, self._spaced, self._last_tool = True, False, ""
        return shown

    def _space(self) -> list[Piece]:
        if self._spaced or not self._begun or self._counted or self._failed:
            return []
        self._spaced = True
        return [Piece("\n", "text")]


def _parent(said: Said) -> str:
    found: Any = said.data.get("parent")
    return str(found) if found else ""

"""The adapter between Quarterdeck and parrot: a request in, a launch out; bytes in, events out; at the end a verdict.

It does no I/O, so that it can be tested with nothing but recorded output.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from providers.base import (
    AgentEvent,
    Capabilities,
    EventKind,
    Failure,
    Launch,
    Limits,
    Parser,
    Request,
    Source,
    Usage,
    Verdict,
)
from providers.checks import check_mode, check_options, check_text
from providers.errors import InvalidRequest
from providers.parsing import JsonLinesParser, count_of, exit_verdict, mapping_of, number_of, text_of

_OPTIONS = {"args": list}


class ParrotProvider:
    """One-shot: the prompt goes in on stdin."""

    name = "parrot"

    def capabilities(self) -> Capabilities:
        return Capabilities(
            modes=("headless",),
            resume=True,
            events=True,
            executable="parrot",
            version_args=("--version",),
            limits=Limits(idle_ms=60_000),
        )

    def validate(self, request: Request) -> None:
        check_mode(request, self.capabilities(), self.name)
        check_options(request.options, _OPTIONS, self.name)
        check_text(request.prompt, "prompt")
        if not request.prompt.strip():
            raise InvalidRequest("the prompt is empty", field="prompt")

    def launch(self, request: Request) -> Launch:
        again = ["--continue", request.resume] if request.resume else []
        return Launch(
            argv=("parrot", *again, *(str(one) for one in request.options.get("args") or ())),
            stdio="pipes",
            stdin="file",
            stdin_file="prompt.txt",
            files={"prompt.txt": request.prompt.encode("utf-8", "replace")},
        )

    def parser(self, request: Request) -> Parser:
        return ParrotParser()

    def version(self, stdout: str) -> str:
        return stdout.strip().removeprefix("parrot ")


class ParrotParser(JsonLinesParser):
    """One attempt's output. Whatever it does not know is kept as `unknown`."""

    def __init__(self) -> None:
        super().__init__()
        self._session = ""
        self._done: dict[str, Any] | None = None
        self._sorry: dict[str, Any] | None = None

    def on_object(self, said: dict[str, Any], raw: bytes) -> Iterator[AgentEvent]:
        words = text_of(said.get("words"))
        match said.get("parrot"):
            case "hello":
                self._session = text_of(said.get("conversation"))
                yield AgentEvent(EventKind.INIT, "", {"session": self._session}, raw)
            case "thinks":
                yield AgentEvent(EventKind.THINKING, words, {}, raw)
            case "squawks":
                yield AgentEvent(EventKind.MESSAGE, words, {}, raw)
            case "sorry":
                self._sorry = said
                yield AgentEvent(EventKind.RESULT, words, {"ok": False}, raw)
            case "done":
                self._done = said
                yield AgentEvent(EventKind.RESULT, words, {"ok": True}, raw)
            case other:
                yield AgentEvent(EventKind.UNKNOWN, "", {"type": other}, raw)

    def verdict(self, exit_code: int | None, signal: int | None) -> Verdict:
        """Success is a `done` and exit code 0: it also exits with 0 when it gave up."""
        if self._sorry is not None:
            seconds = number_of(self._sorry.get("again_in"))
            return Verdict(
                ok=False,
                reason=Failure.OVERLOADED if self._sorry.get("about") == "busy" else Failure.AGENT,
                message=text_of(self._sorry.get("words")),
                session=self._session,
                infrastructure=True,
                after_ms=None if seconds is None else round(seconds * 1000),
            )
        ended = exit_verdict(exit_code, signal, self.stderr.last_line)
        if ended is not None:
            return ended
        if self._done is None:
            return Verdict(ok=False, reason=Failure.NO_RESULT, message=self.stderr.last_line, session=self._session)
        tokens = mapping_of(self._done.get("tokens"))
        return Verdict(
            ok=True,
            output=text_of(self._done.get("words")),
            usage=Usage(count_of(tokens.get("heard")), count_of(tokens.get("said")), None, Source.REPORTED),
            session=self._session,
        )

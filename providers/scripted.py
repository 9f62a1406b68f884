"""A fake agent driven by a small YAML script: the demo and the test tool. This only builds the command line; the
program is `qd _scripted`.

The script, first match: agent option `steps` (the steps themselves), agent option `script` (a path, relative to the
task's cwd), a prompt that is one line `script: PATH`, a prompt that is a script itself (its first line is `steps:`).
Otherwise a short default performance about the prompt. Agent option `pace` multiplies every wait (0: none).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from providers.base import AgentEvent, Capabilities, EventKind, Failure, Launch, Parser, Request, Source, Usage, Verdict
from providers.checks import Kinds, check_mode, check_options, check_text
from providers.errors import InvalidRequest
from providers.parsing import ExitCodeParser, JsonLinesParser, count_of, exit_verdict, number_of, text_of

_OPTIONS: Kinds = {"script": str, "steps": list, "pace": (int, float)}

_DEFAULT = """steps:
- say: "On it: {prompt}"
- work: 0.3
- output: "Done: {prompt}"
- say: "Done."
"""


class ScriptedProvider:
    """Interactive: paints a terminal and tells its state by OSC 7501. Headless: JSON lines."""

    name = "scripted"

    def capabilities(self) -> Capabilities:
        return Capabilities(resume=True, events=True, answers=True)

    def validate(self, request: Request) -> None:
        check_mode(request, self.capabilities(), self.name)
        check_options(request.options, _OPTIONS, self.name)
        check_text(request.prompt, "prompt")
        if "script" in request.options and "steps" in request.options:
            raise InvalidRequest("script and steps exclude each other", field="options.steps")
        if not request.python:
            raise InvalidRequest("it is not known how to start the scripted agent", field="python")

    def launch(self, request: Request) -> Launch:
        path, text = _script(request)
        argv = [*request.python, "_scripted", path or "@script.yaml", "--mode", request.mode, "--prompt", "@prompt.txt"]
        if request.resume:
            argv += ["--resume", request.resume]
        if "pace" in request.options:
            argv += ["--pace", str(request.options["pace"])]
        files = {"prompt.txt": request.prompt.encode("utf-8", "replace")}
        if not path:
            files["script.yaml"] = text.encode("utf-8", "replace")
        return Launch(argv=tuple(argv), stdio="pipes" if request.mode == "headless" else "terminal", files=files)

    def parser(self, request: Request) -> Parser:
        return ScriptedParser() if request.mode == "headless" else ExitCodeParser()

    def version(self, stdout: str) -> str:
        return ""


def _script(request: Request) -> tuple[str, str]:
    """(path, "") of a file, or ("", text) of a script at hand."""
    steps = request.options.get("steps")
    if steps is not None:
        return "", json.dumps({"steps": steps}, default=str)  # JSON is YAML
    given = request.options.get("script")
    prompt = request.prompt.strip()
    if not given and prompt.startswith("script:") and "\n" not in prompt:
        given = prompt.removeprefix("script:").strip()
    if given:
        return str(PurePosixPath(request.cwd) / given), ""
    if prompt.startswith("steps:"):
        return "", request.prompt
    return "", _DEFAULT


class ScriptedParser(JsonLinesParser):
    """`{"type": KIND, "text": ..., ...}`: the neutral events in their own words."""

    def __init__(self) -> None:
        super().__init__()
        self._session = ""
        self._usage = Usage()
        self._result: dict[str, Any] | None = None

    def on_object(self, said: dict[str, Any], raw: bytes) -> Iterator[AgentEvent]:
        try:
            kind = EventKind(text_of(said.get("type")))
        except ValueError:
            kind = EventKind.UNKNOWN
        data = {key: value for key, value in said.items() if key not in ("type", "text")}
        if kind is EventKind.INIT:
            self._session = text_of(said.get("session"))
        elif kind is EventKind.USAGE:
            self._usage = Usage(
                count_of(said.get("tokens_in")),
                count_of(said.get("tokens_out")),
                number_of(said.get("cost_usd")),
                Source.REPORTED,
            )
        elif kind is EventKind.RESULT:
            self._result = said
        yield AgentEvent(kind, text_of(said.get("text")), data, raw)

    def verdict(self, exit_code: int | None, signal: int | None) -> Verdict:
        found = self._judge(exit_code, signal)
        return replace(found, usage=self._usage, session=self._session)

    def _judge(self, exit_code: int | None, signal: int | None) -> Verdict:
        ended = exit_verdict(exit_code, signal, self.stderr.last_line)
        if ended is not None:
            return ended
        if self._result is None:
            return Verdict(
                ok=False, reason=Failure.NO_RESULT, message=self.stderr.last_line or "it ended without a result"
            )
        text = text_of(self._result.get("text"))
        if self._result.get("ok") is True:
            return Verdict(ok=True, output=text)
        said = text_of(self._result.get("reason"))
        reason = Failure(said) if said in set(Failure) else Failure.AGENT
        return Verdict(
            ok=False,
            reason=reason,
            message=text,
            infrastructure=self._result.get("infrastructure") is True,
            until=count_of(self._result.get("until")),
            after_ms=count_of(self._result.get("after_ms")),
            account=self._result.get("account") is True,
        )
